"""What few scenes can tell: exact sign-flips, the studentised bootstrap, and families of both.

Sign-flips (Fisher; the interval by Hartigan's typical values, JASA 1969) are exact for every number
of scenes where differences are symmetric about their mean, so for all exchangeable pairs. The
studentised bootstrap (Efron & Tibshirani 1993, §12.5) follows skewed differences, for which
sign-flips are too short. Families are corrected so that false differences are rare among those
found (Benjamini & Hochberg 1995), or so that a single one is rare: by the step-down maximum over
joint sign-flips (Westfall & Young 1993) and by Holm (1979).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

FLIPS = 4096  # all of them up to 12 scenes, random ones beyond, which keeps the level exact
RESAMPLES = 10_000
FEWEST_RESAMPLES = 1_000
DRAWN = 2_000_000  # scenes that all resamples draw together, beyond which there are fewer of them
ROUNDING = 1e-12  # of the largest difference


class Range(NamedTuple):
    """Ends of a confidence interval, and the two-sided p value of a mean of zero."""

    low: float
    high: float
    p: float


@lru_cache(maxsize=16)
def subsets(n: int) -> np.ndarray:
    """Subsets of ``n`` scenes [F, n] as 0 and 1, the empty one first: whose signs are flipped."""
    if 2**n <= FLIPS:
        bits = np.arange(2**n)[:, None] >> np.arange(n)
        return (bits & 1).astype(np.float64)
    drawn = np.random.default_rng(n).integers(2, size=(FLIPS, n)).astype(np.float64)
    drawn[~drawn.any(axis=1)] = 1  # all scenes: their mean favours neither end
    drawn[0] = 0
    return drawn


@lru_cache(maxsize=16)
def resamples(n: int) -> np.ndarray:
    """How often each of ``n`` scenes is drawn in every bootstrap sample [B, n]."""
    samples = min(RESAMPLES, max(FEWEST_RESAMPLES, DRAWN // n))
    return np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), samples).astype(np.float64)


def standard_error(x: np.ndarray, weights: np.ndarray) -> float:
    """Standard error of the weighted mean of ``x`` [N], linearised; ``weights`` [N]."""
    mean = (weights * x).sum() / weights.sum()
    squares = (weights**2 * (x - mean) ** 2).sum()
    n = len(x)
    return float(np.sqrt(squares * n / (n - 1)) / weights.sum())


def sign_flip(x: np.ndarray, weights: np.ndarray, level: float) -> Range:
    """The interval of means that flipping signs about them does not refuse; ``x`` [N].

    Its ends are order statistics of the means of all subsets of scenes, and infinite with fewer
    than 6 scenes at a ``level`` of 95 %. ``weights`` [N] are those of scenes in means.
    """
    chosen = subsets(len(x))
    sums = chosen @ (weights * x)
    slack = ROUNDING * float(np.abs(weights * x).max())
    below = int((sums <= slack).sum())  # the empty subset counts on both sides
    above = int((sums >= -slack).sum())
    p = min(1.0, 2 * min(below, above) / len(sums))
    means = np.sort(sums[1:] / (chosen[1:] @ weights))
    kept = int((1 - level) / 2 * len(sums))  # subsets that may lie outside of each end
    if kept < 1:
        return Range(-np.inf, np.inf, p)
    return Range(float(means[kept - 1]), float(means[-kept]), p)


def studentised(x: np.ndarray, weights: np.ndarray, level: float) -> Range:
    """Equal-tailed interval of the studentised bootstrap for the weighted mean of ``x`` [N].

    Resamples without any spread have no studentised mean and are left out.
    """
    mean = float((weights * x).sum() / weights.sum())
    error = standard_error(x, weights)
    if error <= ROUNDING * np.abs(x).max():
        return Range(mean, mean, float(mean == 0))
    means, errors = _resampled(x - mean, weights)
    spread = errors > 1e-6 * error
    t = np.sort(means[spread] / errors[spread])
    tail = max(1, int((1 - level) / 2 * (1 + len(t))))  # of ordered values, beyond each end
    low = t[tail - 1]
    high = t[-tail]
    own = mean / error
    beyond = min(np.searchsorted(t, own, "right"), len(t) - np.searchsorted(t, own, "left"))
    p = min(1.0, 2 * (1 + int(beyond)) / (1 + len(t)))
    return Range(mean - float(high) * error, mean - float(low) * error, p)


def _resampled(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means [B] of resampled ``x`` [N], and their standard errors [B]."""
    n = len(x)
    moments = [weights, weights * x, weights**2, weights**2 * x, weights**2 * x**2]
    total, first, w2, w2x, w2xx = (resamples(n) @ np.stack(moments, axis=1)).T
    means = first / total
    squares = np.maximum(w2xx - 2 * means * w2x + means**2 * w2, 0)
    return means, np.sqrt(squares * n / (n - 1)) / total


def joint_sign_flips(differences: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Adjusted p values [M] of comparisons over the same scenes, by the step-down maximum.

    ``differences`` [N, M] may be nan where a comparison lacks a scene; ``weights`` [N]. The signs
    of a scene are flipped in all comparisons together, so that a family of any size can reach the
    p value of one comparison.
    """
    x = np.nan_to_num(differences * weights[:, None])  # what is lacking adds nothing
    scale = np.sqrt((x**2).sum(axis=0))
    x = np.divide(x, scale, out=np.zeros_like(x), where=scale > 0)
    flipped = np.abs(x.sum(axis=0) - 2 * subsets(len(x)) @ x)  # [F, M]
    order = np.argsort(-flipped[0], kind="stable")
    largest = np.maximum.accumulate(flipped[:, order[::-1]], axis=1)[:, ::-1]
    p = (largest >= flipped[0, order] - ROUNDING * len(x)).mean(axis=0)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(p)
    return adjusted


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted ``p_values`` [M] of a family, in which a single false finding is as rare (Holm).

    Missing (nan) ones are no part of the family.
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return adjusted


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Adjusted ``p_values`` [M]: of those at most 5 %, 5 % are false on average.

    For independent and positively dependent comparisons (Benjamini & Yekutieli 2001), as those
    with one backbone are. Missing (nan) ones are no part of the family.
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    shares = p[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(shares[::-1])[::-1])
    return adjusted
