"""How cost grows with frames: exponents, and from where on a method costs less than another.

Times are compared by their paired ratios to the unchanged backbone alone: seconds of two frame
counts, or of two methods, come from processes that met the machine at different moments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from bench3r.measure.pairs import Ratio
from bench3r.models.catalogue import label_of_network, reference_of
from bench3r.report.costs import CostRow

TIME = "time (s)"
MEMORY = "peak memory (GB)"
FLOPS = "FLOPs (G)"
MEASURES: dict[str, Callable[[CostRow], float]] = {  # NaN where it was not measured
    TIME: lambda row: row.median_seconds,
    MEMORY: lambda row: row.peak_bytes / 1e9,
    FLOPS: lambda row: (row.flops or math.nan) / 1e9,
}
NORMAL = 1.96  # half of a 95 % interval in standard errors


class Crossover(NamedTuple):
    """From how many frames on a method costs less; infinity: not to the largest count.

    ``low`` and ``high`` are what the ends of the ratios' intervals say, and equal to ``value``
    where nothing was measured that varies.
    """

    value: float
    low: float
    high: float

    @property
    def pays(self) -> bool:
        """Whether the method costs less at the largest count, beyond what pairs vary by."""
        return math.isfinite(self.high)


class Slope(NamedTuple):
    """An exponent with its 95 % interval; the ends are NaN where it has none."""

    value: float
    low: float = math.nan
    high: float = math.nan


NOWHERE = Crossover(math.nan, math.nan, math.nan)


def exponent(frames: np.ndarray, values: np.ndarray) -> float:
    """Slope of log ``values`` over log ``frames``, both [N]; NaN below two counts.

    Least squares over the upper half of the counts.
    """
    half = len(frames) // 2
    x = np.log(frames[half:])
    y = np.log(values[half:])
    return float(np.polyfit(x, y, 1)[0]) if len(x) > 1 and np.isfinite(y).all() else math.nan


def ratio_exponent(frames: np.ndarray, ratios: list[Ratio | None]) -> Slope:
    """As :func:`exponent` for paired ratios at ``frames`` [N]: below 0, the method gains.

    The interval carries over those of the ratios, taken as normal in their logarithms; the
    processes of different counts are independent.
    """
    values = np.array([math.nan if r is None else r.value for r in ratios], float)
    slope = exponent(frames, values)
    half = len(frames) // 2
    if not math.isfinite(slope):
        return Slope(math.nan)
    wide = [0.0 if r is None else math.log(r.high / r.low) for r in ratios[half:]]
    errors = np.array(wide) / (2 * NORMAL)
    x = np.log(frames[half:])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    reach = NORMAL * float(np.sqrt(((weights * errors) ** 2).sum()))
    return Slope(slope, slope - reach, slope + reach)


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


def paired_crossover(frames: np.ndarray, ratios: list[Ratio | None]) -> Crossover:
    """The crossover of paired ratios at ``frames`` [N], and those of the ends of their intervals.

    Ratios without an interval bound nothing: the crossover then lies anywhere.
    """
    parts = []
    for part in ("value", "low", "high"):
        values = np.array([math.nan if r is None else getattr(r, part) for r in ratios], float)
        parts.append(crossover(frames, values, np.ones(len(frames))))
    value, low, high = parts
    if math.isnan(value):
        return NOWHERE
    if any(r is not None and math.isnan(r.low) for r in ratios):
        return Crossover(value, float(frames[0]), math.inf)
    return Crossover(value, low, high)


def crossover_text(found: Crossover, first: float) -> str:
    """A crossover in words; ``first`` is the smallest measured count."""
    if math.isnan(found.value):
        return "–"
    text = _frames_text(found.value, first)
    if found.low == found.value == found.high:
        return text
    return f"{text} [{_bound_text(found.low)}, {_bound_text(found.high)}]"


def _frames_text(value: float, first: float) -> str:
    if math.isinf(value):
        return "not measured to"
    return f"all, from {first:,.0f}" if value == first else f"about {value:,.0f}"


def _bound_text(value: float) -> str:
    return "not measured to" if math.isinf(value) else f"{value:,.0f}"


@dataclass
class Growth:
    """One method on one backbone over frame counts."""

    name: str
    label: str
    method: str
    unchanged: str  # the backbone that it is compared with
    options: str
    frames: np.ndarray  # [N]
    ratios: list[Ratio | None]  # [N], of times
    costs: dict[str, np.ndarray] = field(default_factory=dict)  # by measure, each [N]
    exponents: dict[str, float] = field(default_factory=dict)
    crossovers: dict[str, Crossover] = field(default_factory=dict)  # NaN of unchanged backbones

    @property
    def is_unchanged(self) -> bool:
        """Whether it is the backbone that others are compared with."""
        return self.method == self.unchanged

    @property
    def ratio_exponent(self) -> Slope:
        """How the paired ratio of times grows with frames."""
        return Slope(math.nan) if self.is_unchanged else ratio_exponent(self.frames, self.ratios)


def growths(costs: list[CostRow]) -> list[Growth]:
    """What every method of ``costs`` (all measured) costs over frames, against its backbone."""
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
    ratios = [row.ratio for row in own]
    out = Growth(name, first.label, first.method, unchanged, first.options, frames, ratios)
    for title, measure in MEASURES.items():
        values = np.fromiter(map(measure, own), float)
        out.costs[title] = values
        out.exponents[title] = exponent(frames, values)
        out.crossovers[title] = NOWHERE
        if not out.is_unchanged and title != TIME:
            beside = [dense.get(row.frames) for row in own]
            against = np.array([math.nan if b is None else measure(b) for b in beside], float)
            found = crossover(frames, values, against)
            out.crossovers[title] = Crossover(found, found, found)
    if not out.is_unchanged:
        out.crossovers[TIME] = paired_crossover(frames, ratios)
    return out
