"""How cost grows with frames: exponents, and from where on a method costs less than another."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bench3r.models.catalogue import label_of_network, reference_of
from bench3r.report.evidence import CostRow

TIME = "time (s)"
MEASURES: dict[str, Callable[[CostRow], float]] = {  # NaN where it was not measured
    TIME: lambda row: row.median_seconds,
    "peak memory (GB)": lambda row: row.peak_bytes / 1e9,
    "FLOPs (G)": lambda row: (row.flops or math.nan) / 1e9,
}


def exponent(frames: np.ndarray, values: np.ndarray) -> float:
    """Slope of log ``values`` over log ``frames``, both [N]; NaN below two counts.

    Least squares over the upper half of the counts.
    """
    half = len(frames) // 2
    x = np.log(frames[half:])
    y = np.log(values[half:])
    return float(np.polyfit(x, y, 1)[0]) if len(x) > 1 and np.isfinite(y).all() else math.nan


def crossover(frames: np.ndarray, own: np.ndarray, reference: np.ndarray) -> float:
    """From how many frames on ``own`` is less than ``reference`` at every larger count; all [N].

    The last change of sign of their log ratio, interpolated on log axes; the first count when it is
    always less, infinity when it is not less at the largest, NaN when nothing can be compared.
    """
    known = np.isfinite(own) & np.isfinite(reference)
    if not known.any():
        return math.nan
    x = np.log(frames[known])
    ratio = np.log(own[known] / reference[known])
    if ratio[-1] >= 0:
        return math.inf
    above = np.flatnonzero(ratio >= 0)
    if not len(above):
        return float(frames[known][0])
    i = int(above[-1])
    return float(np.exp(x[i] + (x[i + 1] - x[i]) * ratio[i] / (ratio[i] - ratio[i + 1])))


def crossover_text(value: float, first: float) -> str:
    """A crossover in words; ``first`` is the smallest measured count."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "not measured to"
    return f"all, from {first:,.0f}" if value == first else f"about {value:,.0f}"


@dataclass
class Growth:
    """One method on one backbone over frame counts."""

    name: str
    label: str
    unchanged: str  # the backbone that it is compared with
    options: str
    frames: np.ndarray  # [N]
    costs: dict[str, np.ndarray] = field(default_factory=dict)  # by measure, each [N]
    exponents: dict[str, float] = field(default_factory=dict)
    crossovers: dict[str, float] = field(default_factory=dict)  # NaN for unchanged backbones


def growths(costs: list[CostRow]) -> list[Growth]:
    """What every method of ``costs`` (all measured) costs over frames, against its backbone.

    Times are compared with those of the backbone that were taken in turn with them, where there are
    some; what two processes met at different moments would blur the crossover.
    """
    groups: dict[tuple[str, str, str], list[CostRow]] = {}
    for row in costs:
        groups.setdefault((row.label, row.backbone, row.options), []).append(row)
    out: list[Growth] = []
    for rows in groups.values():
        own = sorted(rows, key=lambda row: row.frames)
        name = _name(own[0])
        if name in {g.name for g in out}:
            name = f"{name} {len(out)}"
        out.append(_growth(name, own, costs))
    return out


def _name(row: CostRow) -> str:
    network = label_of_network(row.backbone)
    return row.label if network in ("", row.label) else f"{row.label}, {network}"


def _growth(name: str, own: list[CostRow], costs: list[CostRow]) -> Growth:
    """``own``: the costs of one method, by frames; ``costs``: of all methods."""
    first = own[0]
    unchanged = reference_of(first.backbone)
    dense: dict[int, CostRow] = {}
    for row in costs:
        if row.method == unchanged:
            dense.setdefault(row.frames, row)
    frames = np.array([row.frames for row in own], float)
    out = Growth(name, first.label, unchanged, first.options, frames)
    for title, measure in MEASURES.items():
        values = np.fromiter(map(measure, own), float)
        out.costs[title] = values
        out.exponents[title] = exponent(frames, values)
        out.crossovers[title] = math.nan
        if first.method != unchanged:
            against = np.array([_against(row, dense, title) for row in own], float)
            out.crossovers[title] = crossover(frames, values, against)
    return out


def _against(row: CostRow, dense: dict[int, CostRow], title: str) -> float:
    """What the unchanged backbone costs at the frames of ``row``; NaN where it was not measured."""
    if title == TIME and row.reference_seconds:
        return float(np.median(row.reference_seconds))
    beside = dense.get(row.frames)
    return math.nan if beside is None else MEASURES[title](beside)
