"""One record of an outcome, four writers: terminal, JSON, JUnit XML, HTML.

The writers are imported where they are used, so that the record itself costs nothing.
"""

from refscore.report.outcome import Equal, Finding, Outcome, Picture, Report, Table

__all__ = ["Equal", "Finding", "Outcome", "Picture", "Report", "Table"]
