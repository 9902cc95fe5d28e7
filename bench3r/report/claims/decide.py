"""How measured values decide a claim: agreed, refuted, or neither.

Differences are decided by the paired interval over scenes, levels by the interval of a mean, and
both only from six scenes on; times by the paired ratio; what is counted by the count. An outcome is
True (as claimed), False (otherwise) or None (the data do not tell).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import factorial, prod

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from bench3r.measure.pairs import Ratio, effective_pairs
from bench3r.metrics.statistics import ALPHA, MARKS_FROM, Interval, mean_interval, paired_interval

Outcome = bool | None
EXCLUDES = f"95 % interval without 0, n ≥ {MARKS_FROM}"
PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Bounds:
    """What a claim allows a number to be."""

    low: float
    high: float

    def holds(self, low: float, high: float) -> Outcome:
        """Whether an interval lies inside (True), outside (False), or across an end."""
        if not low <= high:  # no interval
            return None
        if self.low <= low and high <= self.high:
            return True
        return False if high < self.low or low > self.high else None


def difference(
    first: pd.Series, second: pd.Series, weights: pd.Series | None = None
) -> Interval | None:
    """Mean of ``first - second`` over common scenes; None with fewer than two of them."""
    scenes = first.index.intersection(second.index)
    if len(scenes) < 2:
        return None
    own = None if weights is None else weights.reindex(scenes).to_numpy()
    return paired_interval(first[scenes].to_numpy(), second[scenes].to_numpy(), own)


def sign(found: Interval, noise: float = 0.0) -> int:
    """-1 or 1 where the interval decides a sign beyond ``noise``; else 0."""
    if not found.excludes_zero or abs(found.mean) <= noise:
        return 0
    return 1 if found.mean > 0 else -1


def mean_within(values: pd.Series, bounds: Bounds) -> tuple[Interval, Outcome]:
    """The mean of ``values`` over scenes, and whether it is as claimed."""
    found = mean_interval(values.to_numpy(dtype=float))
    return found, bounds.holds(found.low, found.high) if found.decides else None


def ratio_within(
    first: pd.Series, second: pd.Series, bounds: Bounds
) -> tuple[Interval | None, Outcome, float]:
    """Whether the mean of ``first`` is within ``bounds`` times that of ``second``.

    By paired differences to those multiples, so that no ratio of a small number decides. With the
    interval of the difference, and the p value of the multiple that is missed.
    """
    ends = []
    for factor, side in ((bounds.low, 1), (bounds.high, -1)):
        if np.isfinite(factor):
            found = difference(first, factor * second)
            if found is None:
                return None, None, np.nan
            ends.append((found, side))
    plain = difference(first, second)
    missed = [found.p for found, side in ends if sign(found) == -side]
    if missed:
        return plain, False, min(missed)
    inside = all(sign(found) == side or not found.mean for found, side in ends)
    decides = plain is not None and plain.decides
    return plain, True if inside and decides else None, 1.0


def ratio_sign(found: Ratio) -> int:
    """-1 (faster) or 1 (slower) where the interval of a paired time decides; else 0."""
    if found.high < 1:
        return -1
    return 1 if found.low > 1 else 0


def sign_test(seconds: list[float], reference: list[float]) -> float:
    """Two-sided p value of equal times of calls in turn, both [N], by the signs of the pairs.

    Pairs that resemble their neighbours count as fewer, as for the interval of the ratio.
    """
    count = min(len(seconds), len(reference))
    if not count:
        return np.nan
    ratios = np.asarray(seconds[:count]) / np.asarray(reference[:count])
    effective = max(1, effective_pairs(ratios)) if count > 1 else 1
    faster = round(effective * float((ratios < 1).mean()))
    return float(binomtest(faster, effective).pvalue)


def trend_p(values: np.ndarray, groups: np.ndarray) -> float:
    """Two-sided p value of no trend of ``values`` [N] over ordered ``groups`` [N], by permutation.

    All assignments of scenes to groups where there are few, else random ones.
    """
    own = _slope(values, groups)
    slopes = np.array([_slope(values, labels) for labels in _assignments(groups)])
    return float((np.abs(slopes) >= abs(own) - 1e-12).mean())


def _slope(values: np.ndarray, groups: np.ndarray) -> float:
    return float(((groups - groups.mean()) * (values - values.mean())).sum())


def _assignments(groups: np.ndarray) -> list[np.ndarray]:
    """Ways to give the labels ``groups`` [N] to N scenes; its own is one of them."""
    sizes = np.unique(groups, return_counts=True)[1].tolist()
    ways = factorial(len(groups)) // prod(map(factorial, sizes))
    if ways <= PERMUTATIONS:
        return _all_assignments(list(range(len(groups))), np.unique(groups).tolist(), sizes)
    random = np.random.default_rng(len(groups))
    return [groups, *(random.permutation(groups) for _ in range(PERMUTATIONS - 1))]


def _all_assignments(free: list[int], labels: list[int], sizes: list[int]) -> list[np.ndarray]:
    """Every way to give ``sizes`` places of ``free`` to ``labels``, as labels of all places."""
    total = len(free)
    found: list[dict[int, int]] = [{}]
    for label, size in zip(labels, sizes, strict=True):
        longer = []
        for given in found:
            left = [place for place in free if place not in given]
            for chosen in combinations(left, size):
                longer.append({**given, **dict.fromkeys(chosen, label)})
        found = longer
    return [np.array([given[place] for place in range(total)]) for given in found]


def significant(p: float) -> bool:
    """Whether a p value decides."""
    return bool(p <= ALPHA)
