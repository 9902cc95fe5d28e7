"""How recursion depth follows the scene: correlation, agreement of views, violations, collapse."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench3r.api.presentation import FactColumn
from bench3r.report.captions import figure_data
from bench3r.report.columns import columns_of
from bench3r.report.comparison import comparison
from bench3r.report.evidence import Evidence, methods
from bench3r.report.fact_columns import add_fact_columns
from bench3r.report.figures.recursion import correlation
from bench3r.report.names import name_of
from bench3r.report.section import Canvas, Figure, Section
from bench3r.report.settings import settings_of
from bench3r.report.summary import keys_of
from bench3r.report.tables import Table

ROUTING = columns_of(
    (
        "recursion/mean_depth",
        "recursion/corr_geometry",
        "recursion/corr_texture",
        "recursion/agreement",
        "recursion/agreement_chance",
    )
)
FACTS = (
    FactColumn("violations", "violations", form=".1%"),
    FactColumn("violations before", "violations_before", form=".1%"),
    FactColumn("raised", "raised_share", form=".1%"),
    FactColumn("collapsed", "collapsed", how="count"),
)
NOTES = (
    "ρ: rank correlation of recursion depth with the patch's ground-truth geometric complexity or "
    "its texture. Agreement: share of corresponding patches of different views with the same "
    "recursion depth; by chance: what independent draws would give.",
    "violations: neighbouring patches whose recursion depths differ by more than one; before: of "
    "the router's own choice, before the smallest smooth map above it is taken (raised: share of "
    "patches that this lifts). collapsed: scenes in which every patch got the same depth.",
)


def routing_table(e: Evidence) -> Iterator[Table]:
    """Every setting of methods that record recursion depths."""
    recursive = set()
    for name, method in methods().items():
        if any(fact.name == "depth_histogram" for fact in method.facts):
            recursive.add(name)
    rows = e.everywhere()
    rows = rows[rows["method"].isin(recursive)]
    if rows.empty:
        return
    title = "Where recursion depth was spent"
    table = comparison(e, rows, ROUTING, name="routing", title=title)
    add_fact_columns(e, settings_of(rows), FACTS, table.shown, table.raw)
    table.notes += NOTES
    yield table


def routing_figure(canvas: Canvas) -> Iterator[Figure]:
    """Correlation of recursion depth with complexity, every scene a dot."""
    rows = canvas.run.first.rows_of("main")
    chosen = rows["protocol"].eq("recursion") & rows["metric"].str.startswith("corr_")
    rows = rows[chosen].dropna(subset="value")
    if rows.empty:
        return
    names = {setting: name_of(setting, rows) for setting in settings_of(rows)}
    dots = pd.DataFrame(
        {
            "value": rows["value"],
            "setting": keys_of(rows).map(names),
            "against": rows["metric"].str.removeprefix("corr_"),
        }
    )
    about = figure_data(canvas.run.first, rows)
    yield Figure(f"Recursion depth and complexity. {about}", correlation(dots, canvas.folder))


SECTION = Section("routing", 90, "depth", frame_tables=routing_table, figures=routing_figure)
