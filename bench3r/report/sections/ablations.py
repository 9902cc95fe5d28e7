"""The comparisons that a run asks for beside the main one, each in the common form."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.report.columns import QUALITY
from bench3r.report.comparison import comparison
from bench3r.report.evidence import Evidence
from bench3r.report.figures.options import option_curves
from bench3r.report.names import plain
from bench3r.report.section import Canvas, Figure, Section
from bench3r.report.tables import Table


def ablation_tables(e: Evidence) -> Iterator[Table]:
    """Every ablation that no method declares a table of its own form for."""
    elsewhere = e.option_tables()
    for name in e.ablations:
        rows = e.rows_of(name)
        if name in elsewhere or rows.empty:
            continue
        title = f"Ablation: {plain(name)}"
        yield comparison(e, rows, QUALITY, name=f"ablation_{name}", title=title, costs=True)


def ablation_figures(canvas: Canvas) -> Iterator[Figure]:
    """Quality and FLOPs over the values of one numeric option."""
    if canvas.run.first.rows_of("main")["value"].notna().any():
        for caption, path in option_curves(canvas.run.first, canvas.folder):
            yield Figure(caption, path)


SECTION = Section(
    "ablations", 110, "options", frame_tables=ablation_tables, figures=ablation_figures
)
