"""Cells of tables that tell times: seconds, and the paired ratio to the unchanged backbone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bench3r.measure.pairs import SPREAD_LIMIT, Ratio
from bench3r.report.columns import by_interval
from bench3r.report.costs import CostRow
from bench3r.report.evidence import Evidence
from bench3r.report.tables import MISSING

RATIO = "time / backbone"  # heads of columns
SECONDS = "Time (s)"
SUSPECT = "(suspect)"
NOISE = 0.001  # of a ratio: what pairs of a millisecond cannot tell apart
HOW = (
    "the median of the ratios of calls taken in turn in one process, with its 95 % interval "
    "(between order statistics, from 6 pairs on; below, Student's t of the log ratios)"
)
SUSPECTED = (
    f"{SUSPECT}: the slowest and the fastest call, or pair, differ by {SPREAD_LIMIT:.0%} of the "
    "median or more, or the machine was not the measurement's alone."
)


class TimeCell(NamedTuple):
    """Times of a row as shown, and its raw numbers by the names of their columns."""

    seconds: str
    ratio: str
    numbers: dict[str, float | str]


def time_cell(cost: CostRow | None) -> TimeCell:
    """Median seconds with their quartiles, and the paired ratio; what failed says so."""
    numbers = ratio_numbers(None if cost is None else cost.ratio)
    if cost is None:
        return TimeCell(MISSING, MISSING, numbers)
    if not cost.ok:
        return TimeCell(cost.status, MISSING, numbers)
    text = MISSING
    if cost.seconds:
        low, middle, high = np.quantile(cost.seconds, [0.25, 0.5, 0.75])
        numbers |= {"time_s": float(middle), "time_q1_s": float(low), "time_q3_s": float(high)}
        text = f"{middle:.3g} [{low:.3g}, {high:.3g}]"
        text += f" {SUSPECT}" if cost.doubts else ""
    return TimeCell(text, ratio_text(cost.ratio), numbers)


def ratio_text(ratio: Ratio | None) -> str:
    """A paired ratio with its interval; 1 for the backbone itself, a dash without pairs."""
    if ratio is None:
        return MISSING
    if ratio.is_reference:
        return "1"
    return _marked(by_interval(ratio.value, ratio.low, ratio.high, noise=NOISE), ratio)


def saved_text(ratio: Ratio | None) -> str:
    """The percentage of time that a paired ratio saves, with its interval."""
    if ratio is None:
        return MISSING
    if ratio.is_reference:
        return "0"
    found = ratio.saved
    value, low, high = 100 * found.value, 100 * found.low, 100 * found.high
    return _marked(by_interval(value, low, high, digits=1, noise=100 * NOISE), ratio)


def _marked(text: str, ratio: Ratio) -> str:
    return f"{text} {SUSPECT}" if ratio.suspect else text


def ratio_numbers(ratio: Ratio | None) -> dict[str, float | str]:
    """The raw columns of a paired ratio; NaN where there is none."""
    if ratio is None:
        nothing = dict.fromkeys(("time_ratio", "time_ratio_low", "time_ratio_high"), math.nan)
        return {**nothing, "time_pairs": 0, "time_suspect": ""}
    return {
        "time_ratio": ratio.value,
        "time_ratio_low": ratio.low,
        "time_ratio_high": ratio.high,
        "time_pairs": ratio.n,
        "time_suspect": ratio.suspect,
    }


def ratio_note(e: Evidence, costs: list[CostRow] | None = None) -> str:
    """What the column of paired ratios says, and which of ``costs`` have none and why.

    ``costs``: those measured at the frame count of ``e``, unless they are given.
    """
    pairs = pairs_text(e.measured() if costs is None else costs)
    return f"{RATIO}: over the unchanged backbone in {e.baseline()}, {HOW}. {pairs}"


def saved_note(e: Evidence, costs: list[CostRow]) -> str:
    """As :func:`ratio_note` for the saved share of the time of ``costs``."""
    over = f"1 - time over the unchanged backbone's in {e.baseline()}"
    return f"Time saved: {over}, {HOW}. {pairs_text(costs)}"


def pairs_text(costs: list[CostRow]) -> str:
    """How many pairs ``costs`` have, what is suspect, and who cannot be paired."""
    counts = set()
    apart: dict[str, list[str]] = {}
    for cost in costs:
        if cost.ratio is None:
            apart.setdefault(cost.why_unpaired, []).append(cost.label)
        elif not cost.is_unchanged:
            counts.add(cost.ratio.n)
    parts = []
    if counts:
        span = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        parts.append(f"{span} pairs each.")
    if any(cost.doubts or (cost.ratio and cost.ratio.suspect) for cost in costs):
        parts.append(SUSPECTED)
    for reason, labels in apart.items():
        parts.append(f"No ratio: {', '.join(dict.fromkeys(labels))} ({reason}).")
    return " ".join(parts)
