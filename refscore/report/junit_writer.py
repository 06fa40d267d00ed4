"""A report as JUnit XML, the format that build servers read: one test suite, one test case an outcome.

A failed outcome is a <failure> with its message, one that broke down an <error>; one without a verdict, and one that was
expected to fail, is <skipped>, because it counts as nothing. What is required and not covered is a case of its own, which fails.
Tables and the numbers of the worst case go to <system-out>.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from refscore.report.outcome import BAD, NOTHING, Outcome, Report
from refscore.report.terminal import number, table_text

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def dumps(report: Report) -> str:
    """The report as XML text."""
    kinds = [_kind(o) for o in report.outcomes] + ["failure"] * bool(report.missing)
    totals = {
        "tests": str(len(kinds)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
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
    if report.missing:
        case = ET.SubElement(suite, "testcase", {"classname": f"refscore.{report.command}", "name": "coverage", "time": "0"})
        ET.SubElement(case, "failure", {"type": "coverage", "message": _clean(report.missing)})
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _kind(o: Outcome) -> str:
    """'failure', 'error', 'skipped', or nothing: what JUnit has of it."""
    if o.outcome == "error":
        return "error"
    return "failure" if o.outcome in BAD else "skipped" if o.outcome in (*NOTHING, "xfail") else ""


def _case(suite: ET.Element, o: Outcome, command: str) -> None:
    found, kind = o.finding, _kind(o)
    names = {"classname": f"refscore.{command}", "name": _clean(f"{o.id} {o.title}")}
    if found:
        names = {"classname": f"refscore.{command}.{found.category}", "name": _clean(o.id)}
    case = ET.SubElement(suite, "testcase", {**names, "time": f"{o.seconds:.3f}"})
    if kind == "skipped":
        ET.SubElement(case, "skipped", {"message": _clean(o.message) or "numbers reported without a verdict"})
    elif kind:
        failure = ET.SubElement(case, kind, {"type": o.outcome if found else "identity", "message": _clean(o.message)})
        failure.text = _clean(f"{o.message}\nmethod: {o.method}" + (f"\n\n{found.script}" if found and found.script else ""))
    lines = [f"{name}: {text}" for name, text in o.details.items()]
    lines.append(f"error {number(o.error)}, bound {number(o.bound)}, {o.cases} cases")
    ET.SubElement(case, "system-out").text = _clean("\n".join([*lines, *[table_text(t) for t in o.tables]]))


def _clean(text: str) -> str:
    """``text`` without the control characters that XML 1.0 has no way to write."""
    return _ILLEGAL.sub("\ufffd", text)
