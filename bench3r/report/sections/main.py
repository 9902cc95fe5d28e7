"""The main comparison: quality and cost of every method."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench3r.api.presentation import Reported
from bench3r.models.catalogue import label_of_network, reference_backbone
from bench3r.report.captions import figure_data
from bench3r.report.columns import QUALITY
from bench3r.report.comparison import comparison
from bench3r.report.evidence import Evidence
from bench3r.report.figures.pareto import COSTS, pareto
from bench3r.report.figures.quality import quality
from bench3r.report.reported import all_reported
from bench3r.report.section import Canvas, Figure, Section
from bench3r.report.tables import Table

NAME = "table2"
MEANS = (
    "Means over the scenes that every compared method finished; n/N: finished of planned scenes."
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
    """Every main setting against the usual columns."""
    rows = e.rows_of("main")
    table = comparison(e, rows, QUALITY, name=NAME, title="Methods compared", costs=True)
    table.notes += [MEANS, *UNITS]
    for reported in all_reported():
        table.notes += ratio_notes(table, reported)
    yield table


def ratio_notes(table: Table, reported: Reported) -> list[str]:
    """FLOPs of whole models over those of the reference, beside the paper's own ratios.

    Their times were not taken in turn with the reference's, so there is no ratio of times.
    """
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
        if not np.isfinite(float(own["profile_flops"] or np.nan)):
            continue
        notes.append(
            f"{own['label']} took {own['profile_flops'] / dense['profile_flops']:.1f} times "
            f"{label}'s FLOPs, alignment left out (reported: "
            f"{paper['FLOPs'] / paper_dense['FLOPs']:.2f}; and "
            f"{paper['Time'] / paper_dense['Time']:.1f} times its time, which cannot be set "
            "against ours: a whole model is not timed in turn with it)."
        )
    return notes


def main_figures(canvas: Canvas) -> Iterator[Figure]:
    """Every scene's quality, and quality against each cost."""
    e = canvas.run.first
    rows = e.rows_of("main")
    if not rows["value"].notna().any():
        return
    about = figure_data(e, rows)
    yield Figure(f"Quality of every scene. {about}", quality(rows, QUALITY, canvas.folder))
    for name, label in COSTS.items():
        drawn = pareto(e, name, QUALITY, canvas.folder)
        yield Figure(f"Quality against {label}. {about}", drawn)


SECTION = Section("main", 10, "methods", frame_tables=main_table, figures=main_figures)
