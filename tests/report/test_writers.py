"""The four writers, read back by other people's parsers."""

import io
import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest

from refscore.report import Outcome, Picture, Report, Table, html_writer, json_writer, junit_writer, terminal

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
