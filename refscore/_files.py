"""Writing a file, a report or a checkpoint: whole or not at all.

The data go to a new file beside the target, which takes its place in one step; a write that fails, or a process that is
killed while it writes, leaves the old file as it was. Whether a path can be written is asked before the run starts, not
after it.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def refusal(path: str | os.PathLike) -> str | None:
    """Why ``path`` cannot be written, in words; None when it can."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        return f"{path} is a directory: name a file in it"
    if not target.parent.is_dir():
        return f"{path}: there is no directory {target.parent}: create it first"
    if _special(target):
        return None if os.access(target, os.W_OK) else f"{path} is not writable"
    if target.exists() and not os.access(target, os.W_OK):
        return f"{path} is write-protected: choose another file"
    try:
        handle, name = tempfile.mkstemp(prefix=".refscore-", dir=target.parent)
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        return f"{path}: cannot create a file in {target.parent} ({error.strerror}): choose another place"
    return None


def write(path: str | os.PathLike, data: bytes) -> None:
    """Put ``data`` at ``path``, whole or not at all.

    Raises
    ------
    OSError
        When it cannot be written; what was at ``path`` is still there.
    """
    target = Path(os.path.realpath(path))
    if _special(target):  # /dev/stdout and pipes cannot be replaced, only written to
        target.write_bytes(data)
        return
    handle, name = tempfile.mkstemp(prefix=".refscore-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _mode(target))
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _special(target: Path) -> bool:
    return target.exists() and not target.is_file()


def _mode(target: Path) -> int:
    """The permissions of the old file, or those a new file gets."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
