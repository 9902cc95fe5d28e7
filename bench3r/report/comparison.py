"""Settings against columns: quality with intervals and marks, costs, and scenes finished."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench3r.metrics.statistics import MARKS_FROM
from bench3r.protocols.base import Metric
from bench3r.report.captions import caption_of
from bench3r.report.cells import (
    LIKE_BACKBONE,
    RAW,
    Cell,
    Scores,
    difference_numbers,
    interval_notes,
    raw_values,
)
from bench3r.report.columns import Column, by_interval, fixed
from bench3r.report.cost_columns import add_costs
from bench3r.report.evidence import Evidence
from bench3r.report.names import name_of, names_of
from bench3r.report.settings import SETTING, Setting, settings_of
from bench3r.report.summary import Difference, common_scenes, counts, of_scenes, weights_of
from bench3r.report.tables import MISSING, Table

DIFFERENCES = (
    f"Method minus its unchanged backbone; {LIKE_BACKBONE}: not told apart from it. d: the "
    "difference over the standard deviation of the scenes' differences (Cohen's d_z, corrected for "
    f"few scenes): how regular it is, not how large; from {MARKS_FROM} scenes on, and only for "
    "differences beyond rounding."
)


def scores_of(rows: pd.DataFrame, column: Column, scenes: pd.Index) -> Scores:
    """``column`` of all settings of ``rows`` on ``scenes``."""
    return Scores(of_scenes(rows, column, scenes), column, weights_of(rows, column))


def raw_rows(settings: list[Setting], numbers: dict[str, list[float | None]]) -> pd.DataFrame:
    """Raw rows of a table: who, and ``numbers`` by column."""
    who = pd.DataFrame(settings, columns=SETTING)
    return pd.concat([who, pd.DataFrame(numbers, index=who.index)], axis=1)


def comparison(
    e: Evidence,
    rows: pd.DataFrame,
    columns: tuple[Column, ...],
    *,
    name: str,
    title: str,
    costs: bool = False,
) -> Table:
    """The settings of ``rows`` against ``columns``, over the scenes that all of them finished."""
    settings = settings_of(rows)
    common = common_scenes(rows)
    shown = pd.DataFrame({"method": names_of(rows)})
    numbers: dict[str, list[float | None]] = {}
    sizes = set()
    for column in columns:
        scores = scores_of(rows, column, common)
        sizes.add(scores.scenes)
        cells = [scores.cell(setting) for setting in settings]
        shown[column.title] = [cell.text for cell in cells]
        for part in RAW:
            numbers[f"{column.key}/{part}"] = raw_values(cells, part)
    raw = raw_rows(settings, numbers)
    notes = interval_notes(sizes)
    table = Table(f"{name}{e.suffix}", title, caption_of(e, rows, columns), shown, raw, notes)
    if costs:
        add_costs(e, table, settings, common)
    tally = [counts(rows, s) for s in settings]
    shown["n/N"] = [f"{n}/{planned}" for n, planned in tally]
    raw["n"] = [n for n, _ in tally]
    raw["N"] = [planned for _, planned in tally]
    raw["compared"] = len(common)
    return table


def differences(
    e: Evidence, rows: pd.DataFrame, columns: tuple[Column, ...], *, name: str, title: str
) -> Table:
    """Paired differences to the unchanged backbone over the same scenes, with 95 % intervals."""
    common = common_scenes(rows)
    settings = [s for s in settings_of(rows) if s.kind not in ("backbone", "control")]
    shown = pd.DataFrame({"method": [name_of(s, rows) for s in settings]})
    numbers: dict[str, list[float | None]] = {}
    sizes = set()
    for column in columns:
        scores = scores_of(rows, column, common)
        sizes.add(scores.scenes)
        found = [scores.against_backbone(s) for s in settings]
        shown[f"Δ {column.title}"] = [difference_text(f, scores.metric) for f in found]
        cells = [Cell("", difference_numbers(f)) for f in found]
        numbers[f"{column.key}/delta_mean"] = raw_values(cells, "delta_vs_backbone")
        for part in ("delta_low", "delta_high", "delta_n", "delta_p", "effect_size"):
            numbers[f"{column.key}/{part}"] = raw_values(cells, part)
    raw = raw_rows(settings, numbers)
    notes = [DIFFERENCES, *interval_notes(sizes)]
    return Table(f"{name}{e.suffix}", title, caption_of(e, rows, columns), shown, raw, notes)


def difference_text(found: Difference | None, metric: Metric) -> str:
    """A difference with its interval, its effect size, and whether it is none."""
    if found is None:
        return MISSING
    d = found.interval
    text = by_interval(d.mean, d.low, d.high, metric.digits, signed=True)
    if np.isfinite(found.effect):
        text += f", d {fixed(found.effect, 1, signed=True)}"
    return f"{text} {LIKE_BACKBONE}" if found.alike else text
