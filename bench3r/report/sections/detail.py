"""z-depth, normals and camera pose of the main methods in more detail."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.report.columns import DETAIL
from bench3r.report.comparison import comparison
from bench3r.report.evidence import Evidence
from bench3r.report.section import Section
from bench3r.report.sections.main import MEANS
from bench3r.report.tables import Table


def detail_table(e: Evidence) -> Iterator[Table]:
    """Every main setting."""
    title = "Depth, normals and camera pose"
    table = comparison(e, e.rows_of("main"), DETAIL, name="detail", title=title)
    table.notes.append(MEANS)
    yield table


SECTION = Section("detail", 140, "methods", frame_tables=detail_table)
