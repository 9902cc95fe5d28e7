"""How far every method is from its unchanged backbone, scene by scene."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.report.columns import QUALITY
from bench3r.report.comparison import differences
from bench3r.report.evidence import Evidence
from bench3r.report.section import Section
from bench3r.report.tables import Table


def difference_table(e: Evidence) -> Iterator[Table]:
    """Paired differences of the main methods."""
    rows = e.rows_of("main")
    title = "Differences to the unchanged backbone"
    yield differences(e, rows, QUALITY, name="table2_differences", title=title)


SECTION = Section("differences", 20, "methods", frame_tables=difference_table)
