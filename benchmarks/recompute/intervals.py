"""Intervals, tests and ratios, written once more from their definitions.

Nothing of :mod:`bench3r.metrics.statistics` is used. Random signs and resamples are drawn as the
definitions there say (the number of scenes is the seed), so that equal numbers are equal to the
last digits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import stats

FEWEST = 6  # scenes that can tell a difference
EXACT_UP_TO = 12  # scenes whose signs are all tried
DRAWN_SIGNS = 4096


class Estimate(NamedTuple):
    """A mean with its interval, its p value, and the number of scenes."""

    mean: float
    low: float
    high: float
    n: int
    p: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside, of scenes enough."""
        return self.n >= FEWEST and (self.low > 0 or self.high < 0)


@cache
def sign_sets(n: int) -> np.ndarray:
    """Which of ``n`` scenes are in each subset [F, n], the empty one first."""
    if n <= EXACT_UP_TO:
        listed = itertools.product((0.0, 1.0), repeat=n)
        return np.array([tuple(reversed(one)) for one in listed])
    drawn = np.random.default_rng(n).integers(2, size=(DRAWN_SIGNS, n)).astype(float)
    drawn[drawn.sum(1) == 0] = 1
    drawn[0] = 0
    return drawn


@cache
def draws(n: int) -> np.ndarray:
    """How often every scene is drawn in each resample [B, n]."""
    count = min(10_000, max(1_000, 2_000_000 // n))
    return np.random.default_rng(n).multinomial(n, [1 / n] * n, count).astype(float)


def standard_error(x: np.ndarray, w: np.ndarray) -> float:
    """Linearised standard error of a weighted mean of ``x`` [N], ``w`` [N]."""
    n = len(x)
    residual = w * (x - np.average(x, weights=w))
    return float(math.sqrt((residual @ residual) * n / (n - 1)) / w.sum())


def by_signs(x: np.ndarray, w: np.ndarray) -> tuple[float, float, float]:
    """Low, high and p of the exact sign-flip test of ``x`` [N], ``w`` [N]."""
    sets = sign_sets(len(x))
    products = w * x
    sums = sets @ products
    slack = 1e-12 * np.abs(products).max()
    p = min(1.0, 2 * min((sums <= slack).mean(), (sums >= -slack).mean()))
    means = np.sort([s @ products / (s @ w) for s in sets[1:]])
    outside = int(0.025 * len(sets) + 1e-9)
    if outside == 0:
        return -math.inf, math.inf, p
    return float(means[outside - 1]), float(means[len(means) - outside]), p


def by_bootstrap(x: np.ndarray, w: np.ndarray) -> tuple[float, float, float]:
    """Low, high and p of the studentised bootstrap of ``x`` [N], ``w`` [N]."""
    n = len(x)
    mean = float(np.average(x, weights=w))
    error = standard_error(x, w)
    if error <= 1e-12 * np.abs(x).max():
        return mean, mean, float(mean == 0)
    counted = draws(n) * w
    own = counted @ x / counted.sum(1)
    squares = (counted * w * (x - own[:, None]) ** 2).sum(1)
    spreads = np.sqrt(squares * n / (n - 1)) / counted.sum(1)
    some = spreads > 1e-6 * error
    ordered = np.sort((own[some] - mean) / spreads[some])
    tail = max(1, int(0.025 * (1 + len(ordered)) + 1e-9))
    observed = mean / error
    beyond = min((ordered <= observed).sum(), (ordered >= observed).sum())
    p = min(1.0, 2 * (1 + beyond) / (1 + len(ordered)))
    return mean - ordered[-tail] * error, mean - ordered[tail - 1] * error, p


def estimate(values: Sequence[float], weights: Sequence[float] | None = None) -> Estimate:
    """Mean of ``values`` [N] over scenes with its 95 % interval."""
    x = np.array(values, float)
    w = np.ones(len(x)) if weights is None else np.array(weights, float)
    w = w / w.mean()
    n = len(x)
    mean = float(np.average(x, weights=w))
    if n < 2:
        return Estimate(mean, math.nan, math.nan, n, math.nan)
    low, high, p = by_signs(x, w)
    if n < FEWEST:
        half = stats.t.ppf(0.99, n - 1) * standard_error(x, w)
        return Estimate(mean, mean - half, mean + half, n, p)
    other_low, other_high, other_p = by_bootstrap(x, w)
    return Estimate(mean, min(low, other_low), max(high, other_high), n, max(p, other_p))


def adjusted(found: Sequence[Estimate]) -> list[float]:
    """p values of differences, corrected as one family (Benjamini-Hochberg); few scenes: nan."""
    tested = sorted((one.p, m) for m, one in enumerate(found) if one.n >= FEWEST)
    out = [math.nan] * len(found)
    lowest = 1.0
    for place in range(len(tested) - 1, -1, -1):
        p, m = tested[place]
        lowest = min(lowest, p * len(tested) / (place + 1))
        out[m] = lowest
    return out


def effect_size(difference: np.ndarray) -> float:
    """Hedges' corrected mean over standard deviation of paired differences [N]."""
    n = len(difference)
    spread = difference.std(ddof=1)
    if n < FEWEST or spread <= 1e-12 * np.abs(difference).max():
        return math.nan
    return float(difference.mean() / spread * (1 - 3 / (4 * (n - 1) - 1)))


class PairedTime(NamedTuple):
    """Median ratio of calls taken in turn, its interval, pairs, and what makes it doubtful."""

    value: float
    low: float
    high: float
    n: int
    doubts: list[str]


def paired_time(seconds: Sequence[float], reference: Sequence[float]) -> PairedTime | None:
    """The paired ratio of ``seconds`` [N] to ``reference`` [N]; None without a pair."""
    ratios = [a / b for a, b in zip(seconds, reference, strict=False)]
    if not ratios:
        return None
    low, high = _bounds(np.array(ratios))
    doubts = [spread("ratios of pairs", ratios)] if len(ratios) > 1 else ["one pair alone"]
    doubts.append(spread("the backbone's calls", reference))
    return PairedTime(float(np.median(ratios)), low, high, len(ratios), list(filter(None, doubts)))


def _bounds(ratios: np.ndarray) -> tuple[float, float]:
    n = len(ratios)
    if n < 2:
        return math.nan, math.nan
    if n < 6:
        logs = np.log(ratios)
        quantile = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}[n]
        half = quantile * logs.std(ddof=1) / math.sqrt(n)
        return math.exp(logs.mean() - half), math.exp(logs.mean() + half)
    place = stats.rankdata(ratios, "ordinal") - (n + 1) / 2
    correlation = max(0.0, float(place[1:] @ place[:-1] / (place @ place)))
    worth = round(n * (1 - correlation) / (1 + correlation))
    rank = 0
    while stats.binom.cdf(rank, worth, 0.5) <= 0.025:
        rank += 1
    outermost = max(1, math.floor(rank / (worth + 1) * (n + 1) + 1e-9))
    ordered = np.sort(ratios)
    return float(ordered[outermost - 1]), float(ordered[n - outermost])


def spread(what: str, values: Sequence[float]) -> str:
    """Why ``values`` are doubtful: they differ by half of their median; "" when not."""
    if len(values) < 2:
        return ""
    found = (max(values) - min(values)) / float(np.median(values))
    return f"{what} differ by {found:.0%} of their median" if found >= 0.5 else ""
