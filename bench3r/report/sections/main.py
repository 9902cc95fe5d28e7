"""The main comparison: quality and cost of every method, a paper's own rows below ours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench3r.api.presentation import Reported
from bench3r.models.catalogue import label_of_network, reference_backbone
from bench3r.report.columns import QUALITY
from bench3r.report.comparison import comparison
from bench3r.report.evidence import Evidence
from bench3r.report.figures.pareto import COSTS, pareto
from bench3r.report.figures.quality import quality
from bench3r.report.reported import all_reported, reported_row, titled
from bench3r.report.section import Canvas, Figure, Section
from bench3r.report.tables import MISSING, Table

NAME = "table2"
MEANS = (
    "Means over the scenes that every compared method finished, with 95 % bootstrap intervals over "
    "scenes; n/N: finished of planned scenes."
)
MARKS = (
    "**best** and _second best_ method (controls are not ranked); †: tied with the best, the 95 % "
    "CI of their paired difference includes zero; ≈: the same of its unchanged backbone."
)
UNITS = (
    "Seeds of a scene are averaged first; scenes weigh the same, unless a protocol says otherwise.",
    "CD is (accuracy + completeness) / 2 after similarity and ICP alignment, dMSE the z-depth "
    "error after median scale; both in units of the scene's median ground-truth depth, so that "
    "scenes of different units can be averaged.",
    "Time is the median [quartiles] of one forward pass on an otherwise idle machine, FLOPs are "
    "2 x multiply-adds; controls do not compute and have neither.",
)


def main_table(e: Evidence) -> Iterator[Table]:
    """Every main setting against the usual columns, and what papers report of the same methods."""
    rows = e.rows_of("main")
    title = titled("Methods compared", NAME)
    table = comparison(e, rows, QUALITY, name=NAME, title=title, costs=True)
    table.notes += [MEANS, MARKS, *UNITS]
    for reported in all_reported():
        table.notes += ratio_notes(table, reported)
        add_reported(table, reported)
    yield table


def add_reported(table: Table, reported: Reported) -> None:
    """Put a paper's own rows under those of the methods that were measured."""
    labels = table.raw.drop_duplicates("method").set_index("method")["label"]
    rows = []
    for method, values in reported.rows.items():
        if method not in labels.index:
            continue
        row = reported_row(str(labels[method]), reported)
        for column in table.shown.columns[1:]:
            key = next((name for name in values if column.startswith(name)), None)
            row[column] = MISSING if key is None else f"({values[key]:g})"
        rows.append(row)
    if not rows:
        return
    table.shown = pd.concat([table.shown, pd.DataFrame(rows)], ignore_index=True)
    table.notes.append(
        f"Values in (parentheses) are reported, not measured by us: {reported.source}. "
        "Their units and scale are unknown, so they cannot be compared with the rows above."
    )


def ratio_notes(table: Table, reported: Reported) -> list[str]:
    """Time and FLOPs of whole models over those of the reference, beside the paper's own ratios."""
    first = table.raw.drop_duplicates("method").set_index("method")
    reference = reference_backbone()
    if reference not in first.index or reference not in reported.rows:
        return []
    dense = first.loc[reference]
    paper_dense = reported.rows[reference]
    label = label_of_network(reference)
    notes = []
    for method, paper in reported.rows.items():
        if method not in first.index or first.loc[method, "kind"] != "model":
            continue
        own = first.loc[method]
        time = own["time_s"] / dense["time_s"] if own["time_s"] and dense["time_s"] else np.nan
        if not np.isfinite(time):
            continue
        notes.append(
            f"{own['label']} took {time:.1f} times {label}'s time and "
            f"{own['flops'] / dense['flops']:.1f} times its FLOPs (reported: "
            f"{paper['Time'] / paper_dense['Time']:.1f} and "
            f"{paper['FLOPs'] / paper_dense['FLOPs']:.2f}). "
            "Its time includes alignment, its FLOPs do not."
        )
    return notes


def main_figures(canvas: Canvas) -> Iterator[Figure]:
    """Every scene's quality, and quality against each cost."""
    e = canvas.run.first
    rows = e.rows_of("main")
    if not rows["value"].notna().any():
        return
    yield Figure("Quality of every scene.", quality(rows, QUALITY, canvas.folder))
    for name, label in COSTS.items():
        yield Figure(f"Quality against {label}.", pareto(e, name, QUALITY, canvas.folder))


SECTION = Section("main", 10, "methods", frame_tables=main_table, figures=main_figures)
