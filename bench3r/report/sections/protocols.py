"""How much the protocol alone moves a number: the same predictions under every rule."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench3r.metrics.statistics import MARKS_FROM
from bench3r.report.captions import caption_of, figure_data
from bench3r.report.cells import MARKS, TIED, TOO_FEW
from bench3r.report.columns import column_of
from bench3r.report.evidence import Evidence
from bench3r.report.families import Measured, measured
from bench3r.report.figures.protocols import rankings
from bench3r.report.names import dataset_label, name_of
from bench3r.report.section import Canvas, Figure, Section
from bench3r.report.settings import settings_of
from bench3r.report.tables import MISSING, Table

NAME = "protocols"
NOTES = [
    "The same predictions, scored by the rules of different papers. Moves by: largest over "
    "smallest value of a method. Agreement: Kendall's τ between the rankings of all methods by two "
    "rules, 1 = the same order; the lowest of any.",
    "A number without its protocol can be off by these factors; compare only what was scored by "
    "one rule.",
    f"Best method: from {MARKS_FROM} scenes on; {TIED}: not told apart from another.",
]


def protocol_tables(e: Evidence) -> Iterator[Table]:
    """The summary, then every family with all its rules."""
    found = list(measured(e))
    if not found:
        return
    raw = pd.DataFrame([_numbers(m) for m in found])
    shown = pd.DataFrame([_texts(m) for m in found])
    title = "What the protocol alone changes"
    yield Table(f"{NAME}{e.suffix}", title, _caption(e, found), shown, raw, list(NOTES))
    for m in found:
        yield family_table(e, m)


def _caption(e: Evidence, found: list[Measured]) -> str:
    """What quantities on several datasets stand on."""
    rows = e.ranked(e.rows_of("main"))
    return caption_of(e, rows[rows["dataset"].isin({m.dataset for m in found})])


def _numbers(m: Measured) -> dict[str, object]:
    moved = m.moved()
    return {
        "dataset": m.dataset,
        "quantity": m.family.name,
        "rules": m.means.shape[1],
        "scenes": m.scenes,
        "moved_median": moved.median(),
        "moved_largest": moved.max(),
        "lowest_tau": m.agreement(),
        "best_methods": len(m.best()),
    }


def _texts(m: Measured) -> dict[str, object]:
    moved = m.moved()
    best = m.best()
    named = list(best)
    if len(best) > 1:
        named = [f"{method} ({', '.join(rules)})" for method, rules in best.items()]
    return {
        "dataset": dataset_label(m.dataset),
        "quantity": m.family.title,
        "rules": m.means.shape[1],
        "scenes": m.scenes,
        "moves by (median; most)": f"{moved.median():.2f} x; {moved.max():.2f} x",
        "least agreement (τ)": f"{m.agreement():.2f}",
        "best method": "; ".join(named) or MISSING,
    }


def family_table(e: Evidence, m: Measured) -> Table:
    """One quantity: methods against rules, the best under each marked."""
    shown = pd.DataFrame({"method": m.means.index})
    for rule in m.means:
        best = m.best_under(rule)
        texts = []
        for method, mean in m.means[rule].items():
            text = f"**{mean:.4g}**" if method == best else f"{mean:.4g}"
            texts.append(f"{text}{TIED}" if method in m.tied_under(rule) else text)
        shown[rule] = texts
    raw = m.means.rename_axis("method").reset_index()
    title = (
        f"{m.family.title} on {dataset_label(m.dataset)} under {m.means.shape[1]} protocols "
        f"({m.family.unit}, {m.family.better} is better)"
    )
    notes = [
        f"Means over {m.scenes} scenes that every method finished.",
        m.family.differ,
        MARKS if m.scenes >= MARKS_FROM else TOO_FEW,
    ]
    name = f"{NAME}_{m.family.name}_{m.dataset}{e.suffix}"
    rows = e.ranked(e.rows_of("main"))
    columns = [column_of(f"{protocol}/{metric}") for protocol, metric, _ in m.family.variants]
    caption = caption_of(e, rows[rows["dataset"].eq(m.dataset)], columns)
    return Table(name, title, caption, shown, raw, notes)


def protocol_figures(canvas: Canvas) -> Iterator[Figure]:
    """Ranks under every rule of a quantity, on the dataset that most rules apply to."""
    chosen: dict[str, Measured] = {}
    for m in measured(canvas.run.first):
        known = chosen.get(m.family.name)
        if known is None or m.means.shape[1] > known.means.shape[1]:
            chosen[m.family.name] = m
    if chosen:
        rows = canvas.run.first.ranked(canvas.run.first.rows_of("main"))
        methods = {name_of(s, rows): s.method for s in settings_of(rows)}
        drawn = rankings(list(chosen.values()), methods, canvas.folder)
        used = rows[rows["dataset"].isin({m.dataset for m in chosen.values()})]
        about = figure_data(canvas.run.first, used)
        yield Figure(f"What the protocol alone changes. {about}", drawn)


SECTION = Section(
    "protocols", 160, "protocols", frame_tables=protocol_tables, figures=protocol_figures
)
