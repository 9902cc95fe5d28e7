"""Simple and complex regions of scenes: errors, detail, and steps between recursion depths."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.report.columns import column_of, columns_of
from bench3r.report.comparison import comparison
from bench3r.report.evidence import Evidence
from bench3r.report.section import Section
from bench3r.report.tables import Table

NAME = "table3"
REGIONS = (
    *columns_of(
        (
            "regions/absrel_simple",
            "regions/absrel_complex",
            "regions/roughness_simple",
            "regions/detail_complex",
            "regions/border_error",
        )
    ),
    column_of("recursion/seam_index", note="1 = none"),
)
NOTES = (
    "A patch is complex when its ground-truth surface is farther from a plane than the median "
    "patch of its scene; roughness is the predicted surface's distance from a plane in simple "
    "patches; detail is the share of the ground-truth log-depth gradient that the prediction has "
    "in complex ones.",
    "Seam index: error of the z-depth step at borders between patches of different recursion depth "
    "over that at other borders.",
)


def region_table(e: Evidence) -> Iterator[Table]:
    """Every main setting by the kind of region."""
    title = "Simple and complex regions, detail, seams"
    table = comparison(e, e.rows_of("main"), REGIONS, name=NAME, title=title)
    table.notes += NOTES
    yield table


SECTION = Section("regions", 50, "depth", frame_tables=region_table)
