"""How far plug-ins are from their unchanged backbone's output, without any ground truth."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench3r.report.columns import columns_of
from bench3r.report.comparison import comparison
from bench3r.report.evidence import Evidence
from bench3r.report.section import Section
from bench3r.report.tables import Table

PROTOCOL = "fidelity"
FIDELITY = columns_of(
    (
        "fidelity/depth_absrel",
        "fidelity/points",
        "fidelity/rot_deg",
        "fidelity/trans_deg",
    )
)
NOTE = (
    "No ground truth is used: near is not right, and a method that improves on its backbone is far "
    "from it."
)


def fidelity_table(e: Evidence) -> Iterator[Table]:
    """Every main plug-in, where the run scores it."""
    rows = e.rows_of("main")
    rows = rows[rows["kind"].eq("plugin") & rows["dataset"].isin(scored_datasets(e, rows))]
    if rows.empty:
        return
    title = "Fidelity: distance from the unchanged backbone's output"
    table = comparison(e, rows, FIDELITY, name="fidelity", title=title, costs=True)
    table.notes.append(NOTE)
    yield table


def scored_datasets(e: Evidence, rows: pd.DataFrame) -> set[str]:
    """The datasets of ``rows`` that the run scores by this rule: n/N counts no others."""
    config = e.plan.config
    return {name for name in rows["dataset"].unique() if PROTOCOL in config.protocols_for(name)}


SECTION = Section("fidelity", 170, "methods", frame_tables=fidelity_table)
