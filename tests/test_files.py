"""Files are replaced whole or not at all, and what cannot be written is refused in words."""

import os
import stat

import pytest

from refscore import _files


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "a.json"
    _files.write(path, "one é".encode())
    assert path.read_text(encoding="utf-8") == "one é"
    path.chmod(0o640)
    _files.write(path, b"two")
    assert path.read_text() == "two" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a.json"]


def test_new_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_text("")
    _files.write(tmp_path / "new", b"")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        _files.write(path, b"new" * 1000)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]


def test_a_link_keeps_pointing(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    _files.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


def test_devices_are_written_to_not_replaced():
    assert _files.refusal("/dev/null") is None
    _files.write("/dev/null", b"text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_what_cannot_be_written_is_refused_in_words(tmp_path):
    assert "is a directory" in _files.refusal(tmp_path)
    assert "no directory" in _files.refusal(tmp_path / "missing" / "a.json")
    (tmp_path / "file").write_text("")
    assert "no directory" in _files.refusal(tmp_path / "file" / "a.json")
    assert _files.refusal(tmp_path / "new.json") is None and os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_write_protection_is_respected(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("")
    path.chmod(0o400)
    assert "write-protected" in _files.refusal(path)
