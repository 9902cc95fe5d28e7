"""Times of calls taken in turn: their paired ratio with an interval, and what makes it doubtful.

Two processes meet a machine at different moments, so their seconds differ by more than most
methods save. Calls that take turns in one process see the same moments; a ratio per pair and the
median of all pairs leave out what both had to wait for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95  # of every interval
# Largest minus smallest value over the median, from which on measured values are suspect.
SPREAD_LIMIT = 0.5
# Below this many pairs no two of them bound their median at LEVEL: 1 - 2 (1/2)^5 = 0.9375.
FEWEST_FOR_ORDER = 6
# Two-sided 95 % quantiles of Student's t by the number of pairs that have a mean and a spread.
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
ORDER = "order statistics"
LOG_T = "t of log ratios"
REFERENCE = "the reference itself"


class Ratio(NamedTuple):
    """Time over that of the unchanged backbone: the median of pairs with its 95 % interval.

    Below 1 is faster. ``low`` and ``high`` are NaN where one pair alone was taken.
    """

    value: float
    low: float
    high: float
    n: int  # pairs
    suspect: str = ""  # why it is doubtful; "" when nothing says so
    method: str = ""  # how the interval was made

    @property
    def is_reference(self) -> bool:
        """Whether it is the unchanged backbone's own: 1, and no result of pairs."""
        return self.method == REFERENCE

    @property
    def differs(self) -> bool:
        """Whether the interval excludes the same time."""
        return self.low > 1 or self.high < 1

    @property
    def inverse(self) -> Ratio:
        """How many times as fast instead of how many times as long."""
        return self._replace(value=1 / self.value, low=1 / self.high, high=1 / self.low)

    @property
    def saved(self) -> Ratio:
        """The saved share of the time, 1 - ratio, with its interval."""
        return self._replace(value=1 - self.value, low=1 - self.high, high=1 - self.low)


def paired_ratio(seconds: Sequence[float], reference: Sequence[float]) -> Ratio | None:
    """The paired ratio of ``seconds`` to ``reference``, both [N], the i-th of each taken in turn.

    None without a pair. From 6 pairs on the interval is the exact one of a median between two
    order statistics (that of the sign test), which needs no distribution; pairs that follow each
    other and resemble each other count as fewer (:func:`effective_pairs`). With 2 to 5 pairs it is
    Student's t of the log ratios. It has the 95 % that it says, or more.
    """
    count = min(len(seconds), len(reference))
    if not count:
        return None
    ratios = np.asarray(seconds[:count], float) / np.asarray(reference[:count], float)
    low, high, method = _interval(ratios)
    reasons = [spread_reason("ratios of pairs", ratios)] if count > 1 else ["one pair alone"]
    reasons.append(spread_reason("the backbone's calls", reference))
    suspect = "; ".join(filter(None, reasons))
    return Ratio(float(np.median(ratios)), low, high, count, suspect, method)


def _interval(ratios: np.ndarray) -> tuple[float, float, str]:
    """Bounds of the median of ``ratios`` [N], and how they were made."""
    count = len(ratios)
    if count < 2:
        return math.nan, math.nan, ""
    if count < FEWEST_FOR_ORDER:
        logs = np.log(ratios)
        half = STUDENT[count] * float(logs.std(ddof=1)) / math.sqrt(count)
        middle = float(logs.mean())
        return math.exp(middle - half), math.exp(middle + half), LOG_T
    rank = order_rank(count, effective_pairs(ratios))
    ordered = np.sort(ratios)
    return float(ordered[rank - 1]), float(ordered[-rank]), ORDER


def effective_pairs(values: np.ndarray) -> int:
    """How many independent ones ``values`` [N] in the order of time are worth; N at most.

    n (1 - r) / (1 + r) with the correlation r of the ranks of neighbours where it is positive, as
    of a series whose memory is its last value.
    """
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float)
    ranks -= ranks.mean()
    r = max(0.0, float((ranks[1:] * ranks[:-1]).sum() / (ranks**2).sum()))
    return round(len(values) * (1 - r) / (1 + r))


def order_rank(count: int, effective: int) -> int:
    """Which value of ``count`` from either end bounds their median at 95 %; 1: the outermost.

    The rank is that of the sign test for the ``effective`` number of values, carried over to
    ``count`` as the share of values that lie outside of it.
    """
    outside = (1 - LEVEL) / 2
    rank = 0
    below = 0.5**effective
    while below <= outside:
        rank += 1
        below += math.comb(effective, rank) * 0.5**effective
    share = rank / (effective + 1)
    return max(1, math.floor(share * (count + 1) + 1e-9))


def spread(values: Sequence[float] | np.ndarray) -> float:
    """Largest minus smallest of ``values`` [N] over their median; 0 of fewer than two."""
    if len(values) < 2:
        return 0.0
    return float(np.ptp(values) / np.median(values))


def spread_reason(what: str, values: Sequence[float] | np.ndarray) -> str:
    """Why ``values`` [N] of ``what`` are doubtful: they differ by too much; "" when not."""
    found = spread(values)
    if found < SPREAD_LIMIT:
        return ""
    return f"{what} differ by {found:.0%} of their median"
