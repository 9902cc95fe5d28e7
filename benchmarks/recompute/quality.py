"""One column of quality: means, intervals, marks and differences of all settings of a table."""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np

from bench3r.protocols import PROTOCOLS
from bench3r.protocols.base import Metric
from benchmarks.recompute.intervals import FEWEST, Estimate, adjusted, effect_size, estimate
from benchmarks.recompute.records import Part, Scene, Setting

Number = float | None


class Difference(NamedTuple):
    """A paired difference of two settings, and what is concluded from it."""

    found: Estimate
    p: float  # corrected for the column
    effect: float
    tie: bool  # no more than rounding

    @property
    def told_apart(self) -> bool:
        """Whether it is a difference."""
        return self.found.excludes_zero and not self.tie and self.p <= 0.05


P = TypeVar("P")


def family(
    metric: Metric,
    columns: dict[P, tuple[np.ndarray, np.ndarray]],
    weights: list[float] | None = None,
) -> dict[P, Difference]:
    """The first minus the second [N] of every pair, over scenes, corrected as one family."""
    kept = {name: ab for name, ab in columns.items() if np.isfinite(ab[0] - ab[1]).sum() > 1}
    if not kept:
        return {}
    own_of = {}
    for name, (a, b) in kept.items():
        both = np.isfinite(a - b)
        w = np.ones(len(a)) if weights is None else np.array(weights)
        own_of[name] = estimate(list((a - b)[both]), list(w[both]))
    found = {}
    for (name, own), p in zip(own_of.items(), adjusted(list(own_of.values())), strict=True):
        a, b = kept[name]
        both = np.isfinite(a - b)
        w = np.ones(len(a)) if weights is None else np.array(weights)
        base = float(np.average(b[both], weights=w[both]))
        tie = metric.tied(base + own.mean, base)
        effect = math.nan if tie else effect_size((a - b)[both])
        found[name] = Difference(own, float(p), effect, tie)
    return found


class Quality:
    """A metric of all settings of ``part``."""

    def __init__(self, part: Part, protocol: str, metric: str) -> None:
        self.part = part
        self.metric: Metric = PROTOCOLS.get(protocol).metric(metric)
        self.values = part.values(protocol, metric)
        weight = PROTOCOLS.get(protocol).weight
        self.weights: dict[Scene, float] = {}
        if weight:
            for own in part.values(protocol, weight).values():
                for scene, value in own.items():
                    self.weights[scene] = max(value, self.weights.get(scene, -math.inf))

    def _weights(self, scenes: list[Scene]) -> list[float] | None:
        return [self.weights[s] for s in scenes] if self.weights else None

    @cached_property
    def means(self) -> dict[Setting, Estimate]:
        """Mean and interval of every setting with a value."""
        found = {}
        for setting, own in self.values.items():
            scenes = sorted(s for s, value in own.items() if math.isfinite(value))
            if scenes:
                found[setting] = estimate([own[s] for s in scenes], self._weights(scenes))
        return found

    @cached_property
    def most(self) -> int:
        """The most scenes of a setting."""
        return max((m.n for m in self.means.values()), default=0)

    @cached_property
    def best(self) -> Setting | None:
        """The best setting that is no control and has all scenes."""
        if self.most < FEWEST or not self.metric.better:
            return None
        kinds = self.part.records.kinds
        ranked = []
        for setting, mean in self.means.items():
            if mean.n == self.most and kinds[setting] != "control":
                ranked.append((mean.mean, setting))
        sign = -1 if self.metric.better == "higher" else 1
        return min(ranked, key=lambda pair: sign * pair[0])[1] if ranked else None

    @cached_property
    def told(self) -> dict[tuple[Setting, Setting], Difference]:
        """Comparisons with backbones and the best as one family, with the trivial control apart."""
        records = self.part.records
        trivial = records.trivial(list(self.values))
        marked: dict[tuple[Setting, Setting], None] = {}
        over_trivial: list[tuple[Setting, Setting]] = []
        for setting in self.values:
            if records.kinds[setting] == "control":
                continue
            for other in (records.unchanged(setting), self.best):
                if other is not None and other != setting and other in self.values:
                    marked[setting, other] = None
            if trivial is not None:
                over_trivial.append((setting, trivial))
        return self._compared(over_trivial) | self._compared(list(marked))

    def _compared(
        self, pairs: list[tuple[Setting, Setting]]
    ) -> dict[tuple[Setting, Setting], Difference]:
        scenes = sorted({scene for own in self.values.values() for scene in own})
        columns = {}
        for first, second in pairs:
            nan = math.nan
            a = np.array([self.values[first].get(s, nan) for s in scenes])
            b = np.array([self.values[second].get(s, nan) for s in scenes])
            columns[first, second] = (a, b)
        return family(self.metric, columns, self._weights(scenes))

    def numbers(self, setting: Setting) -> dict[str, Number]:
        """What a table's CSV says of ``setting``, by the last part of the column's name."""
        mean = self.means.get(setting)
        if mean is None:
            return {}
        unchanged = self.part.records.unchanged(setting)
        delta = self.told.get((setting, unchanged)) if unchanged else None
        out: dict[str, Number] = {
            "mean": mean.mean,
            "low": mean.low,
            "high": mean.high,
            "n": mean.n,
            "tied_with_best": float(self._tied(setting)),
            "no_better_than_trivial": float(self._no_better(setting)),
        }
        if delta is None:
            return out
        return out | {
            "delta_vs_backbone": delta.found.mean,
            "delta_mean": delta.found.mean,
            "delta_low": delta.found.low,
            "delta_high": delta.found.high,
            "delta_n": delta.found.n,
            "delta_p": delta.p,
            "effect_size": delta.effect,
        }

    def _tied(self, setting: Setting) -> bool:
        if self.best is None or self.part.records.kinds[setting] == "control":
            return False
        if setting == self.best:
            return True
        found = self.told.get((setting, self.best))
        complete = self.means[setting].n == self.most
        decides = found is not None and found.found.n >= FEWEST
        return complete and decides and found is not None and not found.told_apart

    def _no_better(self, setting: Setting) -> bool:
        trivial = self.part.records.trivial(list(self.values))
        found = self.told.get((setting, trivial)) if trivial else None
        if found is None or not self.metric.better or found.found.n < FEWEST:
            return False
        good = (found.found.mean < 0) == (self.metric.better == "lower")
        return not (good and found.found.excludes_zero and not found.tie)
