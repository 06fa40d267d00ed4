"""The four writers, read back by other people's parsers."""

import io
import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest

from refscore.report import Equal, Finding, Outcome, Picture, Report, Table, html_writer, json_writer, junit_writer, terminal

CURVE = Table("TV against h", ("h", "TV", "order"), [(0.1, 0.0775895936664, "-"), (np.float64(0.05), float("inf"), 1)])


def record(id="B9", outcome="pass", **changes):
    values = dict(
        systems=("B9", "A4"), title="DSM = ESM + C [a, sec. 3]", outcome=outcome, error=1.25e-15, bound=3e-13,
        method="sums against <quadrature>", seconds=0.25, cases=4, statement=r"\tfrac12 & C", source="[a]",
    )  # fmt: skip
    return Outcome(id=id, **{**values, **changes})


FAIL = record("B10", "fail", error=None, bound=None, message='raised ValueError: "x" < 0 & \x00 bad [red]', cases=0)
NAN = record("B12", "fail", error=float("nan"), bound=float("nan"), message="not finite")
FOUND = (record(tables=(CURVE,)), FAIL, NAN, record("H6", "info"))
REPORT = Report("verify", "0.1.0", 3, FOUND, ("data: [bold]x.csv",))


def shown(report=REPORT, width=80):
    stream = io.StringIO()
    terminal.show(report, stream, width)
    return stream.getvalue()


def strict(text):
    def refuse(token):
        raise AssertionError(f"{token} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_an_unknown_verdict_and_a_ragged_table_are_refused():
    with pytest.raises(ValueError, match="passed"):
        record(outcome="passed")
    with pytest.raises(ValueError, match="columns"):
        Table("t", ("a", "b"), [(1,)])


@pytest.mark.parametrize(
    ("outcomes", "holds"),
    [(("pass", "info"), True), (("pass", "fail"), False), (("info",), False), ((), False)],
)
def test_a_report_holds_when_something_was_compared_and_nothing_failed(outcomes, holds):
    assert Report("verify", "0", 0, tuple(record(outcome=o) for o in outcomes)).holds is holds


def test_json_has_the_schema_and_no_numbers_that_json_lacks():
    top = strict(json_writer.dumps(REPORT))
    assert top["schema"] == "refscore.verify/1" and top["version"] == "0.1.0" and top["seed"] == 3
    assert top["counts"] == {"pass": 1, "fail": 2, "info": 1} and top["holds"] is False
    first, failed, nan, _ = top["identities"]
    required = {"id", "systems", "title", "outcome", "error", "bound", "method", "seconds"}
    assert all(required <= set(i) for i in top["identities"])
    assert first["systems"] == ["B9", "A4"] and first["error"] == 1.25e-15 and first["bound"] == 3e-13
    assert failed["error"] is None and nan["error"] is None and nan["bound"] is None
    assert first["tables"][0]["rows"] == [[0.1, 0.0775895936664, "-"], [0.05, None, 1]]


def test_json_knows_numpy_scalars():
    table = Table("t", ("a", "b", "c", "d"), [(np.int64(3), np.float32(0.5), np.bool_(True), None)])
    top = strict(json_writer.dumps(Report("verify", "0", 0, (record(tables=(table,)),))))
    row = top["identities"][0]["tables"][0]["rows"][0]
    assert row == [3, 0.5, True, None] and isinstance(row[2], bool)


def test_junit_counts_and_names_failures():
    root = ET.fromstring(junit_writer.dumps(REPORT))
    suite = root.find("testsuite")
    assert [suite.get(k) for k in ("tests", "failures", "errors", "skipped")] == ["4", "2", "0", "1"]
    cases = suite.findall("testcase")
    assert [bool(c.findall("failure")) for c in cases] == [False, True, True, False]
    assert [bool(c.findall("skipped")) for c in cases] == [False, False, False, True]
    assert cases[1].get("name").startswith("B10 ") and float(cases[0].get("time")) == 0.25
    message = cases[1].find("failure").get("message")
    assert '"x" < 0 &' in message and "\x00" not in message
    assert "0.07758959367" in cases[0].find("system-out").text
    values = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert values == {"version": "0.1.0", "seed": "3", "note": "data: [bold]x.csv"}


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text, self.loads = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.loads += [v for k, v in attributes if k in ("src", "href") and not v.startswith("#")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html_is_well_formed_self_contained_and_escaped():
    text = html_writer.dumps(REPORT)
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == [] and page.loads == [] and "<script" not in text and "@import" not in text
    words = "".join(page.text)
    title, method = "DSM = ESM + C [a, sec. 3]", "sums against <quadrature>"
    for expected in (title, method, '"x" < 0 &', "data: [bold]x.csv", "1.2e-15"):
        assert expected in words


@pytest.mark.parametrize("width", [80, 60, 200])
def test_the_terminal_keeps_to_its_width_and_prints_brackets_as_they_are(width):
    text = shown(width=width)
    assert max(map(len, text.splitlines())) <= width and "\x1b" not in text
    words = " ".join(text.split())
    assert "data: [bold]x.csv" in words and "B10 fails: raised ValueError" in words and "[red]" in words
    assert "1.2e-15" in text and "3.0e-13" in text and "pass" in text and "0.07758959367" in text
    assert words.endswith("1 hold, 2 fail, 1 reported without verdict (12 comparisons in 1.0 s)")


def test_every_id_is_whole_at_80_columns():
    text = shown(Report("verify", "0", 0, (record("D1.activations", title="a long title " * 9),)))
    line = next(line for line in text.splitlines() if "D1.activations" in line)
    assert "1.2e-15" in line and "3.0e-13" in line and "pass" in line


def test_wide_tables_lose_digits_before_they_are_folded():
    columns = tuple(f"column {k}" for k in range(6))
    text = shown(Report("verify", "0", 0, (record(tables=(Table("wide", columns, [(1 / 3,) * 6]),)),)))
    assert sum("0.3333" in line for line in text.splitlines()) == 1 and "0.3333333333" not in text


def test_nothing_compared_is_said():
    assert "nothing was compared" in terminal.summary(Report("verify", "0", 0, (record(outcome="info"),)))


def test_numbers_in_two_digits():
    values = (None, float("nan"), 0.0, 1.25e-15, float("inf"))
    assert [terminal.number(v) for v in values] == ["-", "-", "0", "1.2e-15", "inf"]


def test_a_picture_is_drawn_on_the_page_kept_in_json_and_thinned_on_the_terminal():
    rows = [(float(i), float(i * i)) for i in range(1, 61)]
    curve = Table("squares", ("i", "square"), rows, Picture("i", ("square",)))
    report = Report("verify", "0", 0, (record(tables=(curve,)),))
    page = html_writer.dumps(report)
    assert page.count("<svg") == 1 and "<td class=\"n\">3600</td>" in page
    assert html_writer.dumps(REPORT).count("<svg") == 0
    assert strict(json_writer.dumps(report))["identities"][0]["tables"][0]["picture"]["y"] == ["square"]
    text = shown(report)
    assert "squares (one row in 3)" in text and " 16 " in text and " 9 " not in text


# --- what is found in somebody else's code ---


def found(id, outcome="pass", message="", category="loss", error=1e-16, **finding):
    finding = Finding(id, category, **{"settings": {"half": True, "weight": "one"}, "inferred": ("half",), **finding})
    return Outcome(id, (), f"title of {id}", outcome, error, 2e-13, "6 calls", 0.5, message, 6, (), f"<{id}>", "[c]", finding)


SCRIPT = "import numpy as np\n" + "".join(f"a{k} = '<{k}>'\n" for k in range(12))
WRONG = found("dsm_loss", "fail", "got 1, wanted [2]", error=float("inf"), failing=("d = 1", "d = 3"), first_failing_rung="d = 1",
              diagnosis=(Equal("dsm_target_sign", 15, "+ for -"), Equal("other", 13, "o")), script=SCRIPT)
BLOCKED = found("dsm_loss_grad", "blocked", "dsm_loss is wrong: mend that first", "gradient", causes=("dsm_loss",))
ABSENT = [found(f"absent_{k}", "unsupported", "the adapter does not have it", "density") for k in range(9)]
CHECKED = (found("jvp", category="derivative"), WRONG, BLOCKED, found("ism_loss", "xfail", "expected until 2031"), *ABSENT)


def checked(*outcomes, **options):
    return Report("check", "0.1.0", 3, outcomes or CHECKED, ("a note",), {"false_alarm_budget": 1e-6}, **options)


def test_an_outcome_of_verify_is_none_of_check():
    with pytest.raises(ValueError, match="outcome is 'info'"):
        found("jvp", "info")
    with pytest.raises(ValueError, match="outcome is 'xfail'"):
        record(outcome="xfail")


@pytest.mark.parametrize(
    ("kinds", "holds"),
    [(("pass", "unsupported", "xfail"), True), (("convention",), True), (("unsupported", "skipped", "inconclusive"), False),
     *[(("pass", bad), False) for bad in ("fail", "error", "xpass", "blocked")]],
)  # fmt: skip
def test_a_check_holds_when_something_passed_and_nothing_is_wrong(kinds, holds):
    outcomes = [found(f"a{k}", kind) for k, kind in enumerate(kinds)]
    assert checked(*outcomes).holds is holds and checked(*outcomes, missing="b").holds is False


def test_the_terminal_explains_what_is_wrong_and_collapses_what_is_absent():
    text = shown(checked())
    words = " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    for expected in ("dsm_loss fails: got 1, wanted [2]", "formula: <dsm_loss>", "source: [c]", "rungs: 2 of 6 fail, 'd = 1' first",
                     "also: other to 13 digits", "blocks dsm_loss_grad: dsm_loss is wrong", "import numpy", "a11 = '<11>'",
                     "unsupported, the adapter does not have it (9): absent_0, absent_1", "ism_loss xfail: expected until 2031"):
        assert expected in words, expected
    assert text.count("absent_3") == 1
    assert words.endswith("1 pass, 1 fail, 1 xfail, 9 unsupported, 1 blocked (78 comparisons in 6.5 s)")


def test_the_schema_of_checks():
    top = strict(json_writer.dumps(checked()))
    assert top["schema"] == "refscore.check/1" and top["false_alarm_budget"] == 1e-6 and "identities" not in top
    failed = top["checks"][1]
    assert failed["error"] is None and failed["tolerance"] == 2e-13 and failed["category"] == "loss"
    assert failed["diagnosis"][0] == {"mistake": "dsm_target_sign", "digits": 15, "text": "+ for -"}
    assert failed["reproducer"] == SCRIPT and failed["first_failing_rung"] == "d = 1"
    assert top["checks"][0]["reproducer"] is None and top["checks"][2]["blocked_by"] == ["dsm_loss"]


def test_junit_of_checks():
    suite = ET.fromstring(junit_writer.dumps(checked(missing="required: b"))).find("testsuite")
    assert [suite.get(k) for k in ("tests", "failures", "errors", "skipped")] == ["14", "3", "0", "10"]
    cases = {c.get("name"): c for c in suite.findall("testcase")}
    assert "a11 = '<11>'" in cases["dsm_loss"].find("failure").text
    assert cases["coverage"].find("failure").get("message") == "required: b"


def test_html_of_checks():
    text = html_writer.dumps(checked())
    page = _Page()
    page.feed(text)
    page.close()
    words = "".join(page.text)
    assert page.open == [] and page.loads == [] and SCRIPT in words and "dsm_target_sign, to 15 digits: + for -" in words
    assert text.index('<h2 id="dsm_loss"') < text.index('<h2 id="jvp"')  # what is wrong comes first
    assert "half = True (inferred), weight = one" in words and 'id="absent_1"' not in text
