"""Every dataset alone."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.report.columns import DETAIL, QUALITY
from bench3r.report.comparison import comparison
from bench3r.report.evidence import Evidence
from bench3r.report.names import dataset_label
from bench3r.report.section import Section
from bench3r.report.tables import Table


def dataset_tables(e: Evidence) -> Iterator[Table]:
    """The main settings on each dataset."""
    columns = (*QUALITY, *DETAIL)
    for name, rows in e.rows_of("main").groupby("dataset", sort=False):
        title = f"{dataset_label(str(name))} alone"
        yield comparison(e, rows, columns, name=f"dataset_{name}", title=title)


SECTION = Section("datasets", 1000, "appendix", frame_tables=dataset_tables, appendix=True)
