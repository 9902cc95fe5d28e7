"""FLOPs of every method at published size, over frame counts."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.report.evidence import RunEvidence
from bench3r.report.published import published_table
from bench3r.report.section import Section
from bench3r.report.tables import Table


def published_tables(run: RunEvidence) -> Iterator[Table]:
    """The same for every run: it stands on the sizes of the models alone."""
    yield published_table()


SECTION = Section("published", 220, "published", run_tables=published_tables)
