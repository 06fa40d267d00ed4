"""A report as JUnit XML, the format that build servers read: one test suite, one test case an outcome.

A failed outcome is a <failure> with its message; one without a verdict (info) is <skipped>, because it counts as
nothing. Tables and the numbers of the worst case go to <system-out>.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from refscore.report.outcome import Outcome, Report
from refscore.report.terminal import number, table_text

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def dumps(report: Report) -> str:
    """The report as XML text."""
    counts = report.counts
    totals = {
        "tests": str(len(report.outcomes)),
        "failures": str(counts["fail"]),
        "errors": "0",
        "skipped": str(counts["info"]),
        "time": f"{report.seconds:.3f}",
    }
    root = ET.Element("testsuites", totals)
    suite = ET.SubElement(root, "testsuite", {"name": f"refscore {report.command}", **totals})
    properties = ET.SubElement(suite, "properties")
    pairs = [("version", report.version), ("seed", str(report.seed)), *[("note", n) for n in report.notes]]
    for name, value in pairs:
        ET.SubElement(properties, "property", {"name": name, "value": _clean(value)})
    for outcome in report.outcomes:
        _case(suite, outcome, report.command)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, o: Outcome, command: str) -> None:
    names = {"classname": f"refscore.{command}", "name": _clean(f"{o.id} {o.title}"), "time": f"{o.seconds:.3f}"}
    case = ET.SubElement(suite, "testcase", names)
    if o.outcome == "fail":
        failure = ET.SubElement(case, "failure", {"type": "identity", "message": _clean(o.message)})
        failure.text = _clean(f"{o.message}\nmethod: {o.method}")
    elif o.outcome == "info":
        ET.SubElement(case, "skipped", {"message": "numbers reported without a verdict"})
    lines = [f"systems: {', '.join(o.systems)}", f"error {number(o.error)}, bound {number(o.bound)}, {o.cases} cases"]
    ET.SubElement(case, "system-out").text = _clean("\n".join([*lines, *[table_text(t) for t in o.tables]]))


def _clean(text: str) -> str:
    """``text`` without the control characters that XML 1.0 has no way to write."""
    return _ILLEGAL.sub("\ufffd", text)
