"""Settings against columns: means with intervals, ranks, ties, costs, and scenes finished."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from bench3r.metrics.statistics import Interval
from bench3r.report.columns import Column
from bench3r.report.cost_columns import add_costs
from bench3r.report.evidence import SETTING, Evidence, Setting, settings_of
from bench3r.report.names import name_of, names_of
from bench3r.report.summary import (
    Difference,
    against_reference,
    common_scenes,
    counts,
    interval,
    of_scenes,
    ranks,
    tied_with,
    weights_of,
)
from bench3r.report.tables import MISSING, Table

TIED = "†"  # in the tie group of the best
LIKE_BACKBONE = "≈"  # the difference to the unchanged backbone has a 95 % CI that includes zero
RAW = (
    "mean",
    "low",
    "high",
    "tied_with_best",
    "delta_vs_backbone",
    "delta_low",
    "delta_high",
    "effect_size",
)
DIFFERENCES = (
    "Method minus its unchanged backbone, 95 % paired bootstrap over scenes; an interval with 0 is "
    "no difference. d: the difference over the standard deviation of the scenes' differences "
    "(Cohen's d_z, corrected for few scenes): how regular it is, not how large."
)


class Cell(NamedTuple):
    """An entry of a table: as shown, and its raw numbers by name."""

    text: str
    numbers: dict[str, float]


NOTHING = Cell(MISSING, {})


def quality_cells(
    values: pd.DataFrame, column: Column, settings: list[Setting], weights: pd.Series | None
) -> dict[Setting, Cell]:
    """One column for every setting, from ``values`` of the common scenes (scenes by settings)."""
    stats = {s: interval(values[s], weights) for s in settings if s in values.columns}
    means = {s: found.mean for s, found in stats.items() if found and not s.is_control}
    order = ranks(means, column.better)
    tied = tied_with(values, order[0] if order else None, list(means), weights)
    cells = dict.fromkeys(settings, NOTHING)
    for setting, found in stats.items():
        if found is None:
            continue
        text = _mean_text(found, column.digits, order.index(setting) if setting in order else None)
        if len(tied) > 1 and setting in tied:
            text += TIED
        numbers = {
            "mean": found.mean,
            "low": found.low,
            "high": found.high,
            "tied_with_best": setting in tied,
        }
        delta = against_reference(values, setting, weights)
        if delta is not None:
            numbers |= _against_backbone(delta)
            text += "" if delta.interval.excludes_zero else f" {LIKE_BACKBONE}"
        cells[setting] = Cell(text, numbers)
    return cells


def _mean_text(found: Interval, digits: int, rank: int | None) -> str:
    """A mean with its interval; the best (rank 0) and the second best are marked."""
    text = f"{found.mean:.{digits}f}"
    if rank == 0:
        text = f"**{text}**"
    elif rank == 1:
        text = f"_{text}_"
    if np.isfinite(found.low):
        text += f" [{found.low:.{digits}f}, {found.high:.{digits}f}]"
    return text


def raw_values(cells: list[Cell], part: str) -> list[float | None]:
    """The raw number called ``part`` of every cell; None where it has none."""
    return [cell.numbers.get(part) for cell in cells]


def _against_backbone(delta: Difference) -> dict[str, float]:
    return {
        "delta_vs_backbone": delta.interval.mean,
        "delta_low": delta.interval.low,
        "delta_high": delta.interval.high,
        "effect_size": delta.effect,
    }


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
    raw = pd.DataFrame(settings, columns=SETTING)
    for column in columns:
        values = of_scenes(rows, column, common)
        cells = list(quality_cells(values, column, settings, weights_of(rows, column)).values())
        shown[column.title] = [cell.text for cell in cells]
        for part in RAW:
            raw[f"{column.key}/{part}"] = raw_values(cells, part)
    table = Table(f"{name}{e.suffix}", title, e.about, shown, raw, [])
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
    raw = pd.DataFrame(settings, columns=SETTING)
    for column in columns:
        values = of_scenes(rows, column, common)
        weights = weights_of(rows, column)
        found = [against_reference(values, s, weights) for s in settings]
        shown[f"Δ {column.title}"] = [_difference_text(f, column.digits) for f in found]
        cells = [Cell("", _against_backbone(f)) if f else NOTHING for f in found]
        raw[f"{column.key}/delta_mean"] = raw_values(cells, "delta_vs_backbone")
        for part in ("delta_low", "delta_high", "effect_size"):
            raw[f"{column.key}/{part}"] = raw_values(cells, part)
    return Table(f"{name}{e.suffix}", title, e.about, shown, raw, [DIFFERENCES])


def _difference_text(found: Difference | None, digits: int) -> str:
    if found is None:
        return MISSING
    d = found.interval
    text = f"{d.mean:+.{digits}f} [{d.low:+.{digits}f}, {d.high:+.{digits}f}]"
    return f"{text}, d {found.effect:+.1f}" if np.isfinite(found.effect) else text
