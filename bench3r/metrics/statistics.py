"""Uncertainty and size of differences over scenes: intervals that hold for few, skewed scenes.

Below :data:`MARKS_FROM` scenes no exact test reaches 5 %: the interval is Student's, widened for
skewed differences, and nothing is called a difference. From there on an interval holds all means
that the exact sign-flip or the studentised bootstrap does not refuse. ``benchmarks/coverage.py``
prints how often that covers the true mean. Scenes are weighted where a protocol says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from bench3r.metrics.resampling import (
    benjamini_hochberg,
    holm,
    joint_sign_flips,
    sign_flip,
    standard_error,
    studentised,
)

LEVEL = 0.95
ALPHA = 0.05
MARKS_FROM = 6  # scenes: of fewer, 2 in 2^n signs are more than 5 %, so nothing is marked
FEW_LEVEL = 0.98  # of Student's t below MARKS_FROM: covers exponential differences by 92 %
FEW = "t"
MANY = "sign-flip and studentised bootstrap"


class Interval(NamedTuple):
    """A mean, or mean difference, with its 95 % confidence interval."""

    mean: float
    low: float
    high: float
    n: int = 0  # scenes
    method: str = ""  # of the interval; empty where there is none
    p: float = float("nan")  # two-sided, of a mean of zero; not corrected for a family

    @property
    def decides(self) -> bool:
        """Whether there are scenes enough to tell a difference from none."""
        return self.n >= MARKS_FROM

    @property
    def excludes_zero(self) -> bool:
        """Whether zero is outside of the interval, of scenes enough to tell."""
        return self.decides and (self.low > 0 or self.high < 0)


def mean_interval(a: np.ndarray, weights: np.ndarray | None = None) -> Interval:
    """Mean of ``a`` [N] over scenes with its interval; without one (nan) for a single scene.

    ``weights`` [N] (pixels of a scene, say) are those of scenes in the mean. Raises ValueError for
    weights that are not positive or not as many, and without any scene.
    """
    if not len(a):
        raise ValueError("a mean needs at least 1 scene, got none")
    x = np.asarray(a, dtype=np.float64)
    w = np.ones(len(x)) if weights is None else weights.astype(np.float64)
    if w.shape != x.shape or not (w > 0).all():
        raise ValueError(f"expected {len(x)} positive weights, got {weights}")
    w = w / w.mean()
    mean = float((w * x).mean())
    n = len(x)
    if n < 2:
        return Interval(mean, float("nan"), float("nan"), n)
    exact = sign_flip(x, w, LEVEL)
    if n < MARKS_FROM:
        half = float(stdtrit(n - 1, (1 + FEW_LEVEL) / 2)) * standard_error(x, w)
        return Interval(mean, mean - half, mean + half, n, FEW, exact.p)
    skewed = studentised(x, w, LEVEL)
    low = min(exact.low, skewed.low)
    high = max(exact.high, skewed.high)
    return Interval(mean, low, high, n, MANY, max(exact.p, skewed.p))


def paired_interval(a: np.ndarray, b: np.ndarray, weights: np.ndarray | None = None) -> Interval:
    """Mean of ``a - b`` [N] with its interval: the same scenes in the same order.

    Raises ValueError for different lengths or fewer than two scenes, and as
    :func:`mean_interval`.
    """
    _check_pairs(a, b)
    return mean_interval(a - b, weights)


def discoveries(found: Sequence[Interval]) -> list[float]:
    """p values of a family of differences, corrected so that 5 % of those found are false at most.

    By Benjamini and Hochberg, which few scenes can still satisfy: over 9 scenes no p value is below
    2 in 512, and a family of 13 would have none left by Holm. nan where there are too few scenes.
    """
    p_values = [one.p if one.decides else float("nan") for one in found]
    return [float(p) for p in benjamini_hochberg(np.array(p_values))]


def familywise(differences: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Adjusted p values [M] of a family of comparisons over scenes; nan where one has too few.

    ``differences`` [N, M], nan where a comparison lacks a scene; ``weights`` [N]. The larger of
    the step-down maximum over joint sign-flips and Holm's over the studentised bootstrap: a family
    finds any false difference in 5 % of all cases at most, which is stricter than
    :func:`discoveries`. Raises ValueError as :func:`mean_interval`.
    """
    w = np.ones(len(differences)) if weights is None else weights.astype(np.float64)
    adjusted = np.full(differences.shape[1], np.nan)
    has = ~np.isnan(differences)
    tested = np.flatnonzero(has.sum(axis=0) >= MARKS_FROM)
    if not len(tested):
        return adjusted
    chosen = differences[:, tested]
    single = np.ones(len(tested))
    for place, column in enumerate(chosen.T):
        known = ~np.isnan(column)
        single[place] = studentised(column[known], w[known], LEVEL).p
    adjusted[tested] = np.maximum(joint_sign_flips(chosen, w), holm(single))
    return adjusted


def effect_size(a: np.ndarray, b: np.ndarray) -> float:
    """Paired effect size of ``a`` over ``b`` [N]; nan where it means nothing.

    Mean over standard deviation of the differences (Cohen's d_z), corrected for few scenes
    (Hedges). It means nothing below :data:`MARKS_FROM` scenes, where the standard deviation is
    mostly chance, and when all differences are the same. Raises ValueError for different lengths
    or fewer than two scenes.
    """
    _check_pairs(a, b)
    difference = a - b
    spread = difference.std(ddof=1)
    if len(a) < MARKS_FROM or spread <= 1e-12 * np.abs(difference).max(initial=0):
        return float("nan")
    return float(difference.mean() / spread * (1 - 3 / (4 * (len(a) - 1) - 1)))


def _check_pairs(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(
            f"paired samples must be two equally long vectors, got {a.shape} and {b.shape}"
        )
    if len(a) < 2:
        raise ValueError(f"a paired interval needs at least 2 scenes, got {len(a)}")
