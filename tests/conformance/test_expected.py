"""Expected failures: an entry excuses the failure with its signature, until its day, and nothing else."""

import datetime

import pytest

from refscore.conformance.diagnosis import Equals
from refscore.conformance.expected import BadEntries, Entry, apply, read
from refscore.conformance.run import Check

DAY = datetime.date(2030, 6, 1)
FAILS = Check("dsm_loss", "dsm_loss", "fail", "loss", diagnosis=(Equals("dsm_target_sign", 15, ""), Equals("other", 12, "")),
              first_failing_rung="d = 1, one row", message="got 1, wanted 2")
PASSES = Check("jvp", "jvp", "pass", "derivative")
BLOCKED = Check("ism_loss", "ism_loss", "blocked", "loss", first_failing_rung="d = 3, one row", message="wrong")
ABSENT = Check("score", "score", "unsupported", "density")
CHECKS = (FAILS, PASSES, BLOCKED, ABSENT)


def outcomes(*entries, today=DAY):
    return {c.id: c.outcome for c in apply(CHECKS, list(entries), today)}


def entry(id="dsm_loss", **changes):
    return Entry(id, "known", changes.pop("until", DAY), **changes)


@pytest.mark.parametrize("signature", [{"mistake": "dsm_target_sign"}, {"mistake": "dsm_*"}, {"mistake": "other"},
                                       {"rung": "d = 1, *"}, {"mistake": "dsm_*", "rung": "d = 1, one row"}])
def test_the_failure_with_the_signature_is_excused(signature):
    assert outcomes(entry(**signature)) == {"dsm_loss": "xfail", "jvp": "pass", "ism_loss": "blocked", "score": "unsupported"}


@pytest.mark.parametrize("signature", [{"mistake": "dsm_target"}, {"mistake": "ism_*"}, {"rung": "d = 3*"},
                                       {"mistake": "dsm_*", "rung": "d = 3*"}])
def test_another_failure_fails(signature):
    found = apply(CHECKS, [entry(**signature)], DAY)[0]
    assert found.outcome == "fail" and "expected was another failure" in found.message


def test_an_expired_entry_excuses_nothing():
    found = apply(CHECKS, [entry(mistake="dsm_*")], DAY + datetime.timedelta(1))[0]
    assert found.outcome == "fail" and "ended on 2030-06-01" in found.message


def test_an_unexpected_pass_and_an_unknown_check_fail():
    found = {c.id: c for c in apply(CHECKS, [entry("jvp", mistake="a"), entry("dsm_los", mistake="a")], DAY)}
    assert found["jvp"].outcome == "xpass" and "take its entry out" in found["jvp"].message
    assert found["dsm_los"].outcome == "error" and "did you mean dsm_loss?" in found["dsm_los"].message


def test_what_is_blocked_or_absent():
    assert outcomes(entry("ism_loss", rung="d = 3, one row"))["ism_loss"] == "xfail"
    found = {c.id: c for c in apply(CHECKS, [entry("score", rung="d = 3"), entry("esm_loss", rung="d = 3")], DAY)}
    assert found["score"].outcome == "error" and "is not there" in found["score"].message
    assert "esm_loss" not in found  # it was not selected
    (misspelt,) = [c for c in apply(CHECKS, [entry(mistake="dsm_target_sing")], DAY) if c.id == "dsm_loss"]
    assert misspelt.outcome == "fail" and misspelt.message.endswith("did you mean dsm_target_sign?")


GOOD = """
[a]
reason = r ; a note
mistake = m_*
rung = d = 1, one row
until = 2031-01-31
[b]
reason: 100 %
rung = x
until = 2031-01-31
"""


def test_a_file_is_read(tmp_path):
    path = tmp_path / "known.ini"
    path.write_text(GOOD)
    one, other = read(path)
    assert one == Entry("a", "r", datetime.date(2031, 1, 31), "m_*", "d = 1, one row")
    assert other.reason == "100 %" and other.mistake == "" and other.signature == "rung = x"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (GOOD.replace("reason = r ; a note\n", ""), "there is no reason"),
        (GOOD.replace("until = 2031-01-31\n[b]", "[b]"), "until is missing"),
        (GOOD.replace("2031-01-31", "next year"), "until is next year"),
        (GOOD.replace("m_*", "*"), "it would excuse every failure"),
        (GOOD.replace("rung = x\n", ""), "it would excuse every failure"),
        (GOOD.replace("mistake", "mistakes"), "'mistakes' is not known"),
        (GOOD.replace("[b]", "[a]"), "already exists"),
        ("reason = r", "no list of expected failures"),
        ("[a", "no list of expected failures"),
        ("\xff\xfe".encode("latin-1"), "no list of expected failures"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, word):
    path = tmp_path / "known.ini"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadEntries, match=word) as caught:
        read(path)
    assert "known.ini" in str(caught.value)
