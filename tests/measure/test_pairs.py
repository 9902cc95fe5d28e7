"""Paired ratios: what calls in turn say, how sure that is, and what makes it doubtful."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench3r.measure.pairs import (
    LOG_T,
    ORDER,
    Ratio,
    effective_pairs,
    order_rank,
    paired_ratio,
    spread,
    spread_reason,
)

DRIFT = np.array([1.0, 1.3, 1.1, 1.4, 1.2, 1.0, 1.3, 1.1, 1.2, 1.4])  # of the machine, per pair


def test_pairs_leave_out_what_both_had_to_wait_for():
    """The ratio of medians of two processes is off by their moments; that of pairs is not."""
    own = 0.97 * DRIFT
    found = paired_ratio(list(own), list(DRIFT))
    assert found is not None
    assert found.value == pytest.approx(0.97)
    assert (found.low, found.high) == pytest.approx((0.97, 0.97))
    apart = np.median(own * 1.2) / np.median(DRIFT)  # the same, met 20 % later
    assert apart > 1.1
    assert found.saved.value == pytest.approx(0.03)
    assert found.inverse.value == pytest.approx(1 / 0.97)
    assert found.differs


def test_the_interval_of_ten_pairs_lies_between_the_second_and_the_ninth():
    ratios = np.array([1.02, 0.9, 1.0, 0.96, 1.08, 0.92, 1.06, 0.94, 1.04, 0.98])
    found = paired_ratio(list(ratios), [1.0] * 10)
    assert found is not None
    assert (found.n, found.method) == (10, ORDER)
    assert (found.low, found.high) == pytest.approx((0.92, 1.06))
    assert found.value == pytest.approx(0.99)
    assert not found.differs
    assert [order_rank(n, n) for n in (6, 8, 9, 10, 20, 30)] == [1, 1, 2, 2, 6, 10]


def test_few_pairs_have_an_interval_of_student_and_one_has_none():
    found = paired_ratio([1.0, 1.1, 1.2], [1.0, 1.0, 1.0])
    assert found is not None
    assert found.method == LOG_T
    logs = np.log([1.0, 1.1, 1.2])
    half = 4.303 * logs.std(ddof=1) / math.sqrt(3)
    assert found.high == pytest.approx(math.exp(logs.mean() + half))
    single = paired_ratio([1.0, 2.0], [2.0])
    assert single is not None
    assert (single.n, single.value) == (1, 0.5)
    assert math.isnan(single.low)
    assert single.suspect
    assert paired_ratio([1.0], []) is None


def test_pairs_that_follow_a_drift_count_as_fewer():
    rising = np.linspace(0.9, 1.1, 20)
    assert effective_pairs(rising) < 6
    alternating = np.tile([0.9, 1.1], 10)
    assert effective_pairs(alternating) == 20
    found = paired_ratio(list(rising), [1.0] * 20)
    assert found is not None
    assert (found.low, found.high) == (rising[0], rising[-1])


def planted(rng: np.random.Generator, count: int, memory: float, spiky: bool) -> np.ndarray:
    """Ratios [N] whose median is 1, where one resembles the last by ``memory``."""
    noise = rng.standard_normal(count + 20)
    for i in range(1, len(noise)):
        noise[i] = memory * noise[i - 1] + math.sqrt(1 - memory**2) * noise[i]
    logs = 0.05 * noise[20:]
    if spiky:  # a tenth of the calls meets something else
        side = rng.choice([-1, 1], count)
        logs += (rng.random(count) < 0.1) * rng.exponential(0.5, count) * side
    return np.exp(logs)


@pytest.mark.parametrize("spiky", [False, True])
@pytest.mark.parametrize("memory", [0.0, 0.3])
@pytest.mark.parametrize("count", [3, 6, 10, 30])
def test_the_interval_covers_what_it_says(count, memory, spiky):
    """95 % or more of independent pairs, and not much less of pairs that resemble each other."""
    rng = np.random.default_rng(count)
    hits = 0
    tries = 2000
    for _ in range(tries):
        found = paired_ratio(list(planted(rng, count, memory, spiky)), [1.0] * count)
        assert found is not None
        hits += found.low <= 1 <= found.high
    least = 0.94 if memory == 0 else 0.88
    assert hits / tries >= least


@pytest.mark.parametrize(("slowest", "suspect"), [(1.45, False), (1.55, True), (1.6, True)])
def test_a_spread_of_sixty_percent_is_suspect(slowest, suspect):
    """Its coefficient of variation is below 20 %, which was let pass once."""
    times = [1.0] * 8 + [1.001, slowest]
    assert np.std(times, ddof=1) / np.mean(times) < 0.2
    assert bool(spread_reason("calls", times)) is suspect
    for pair in ((times, [1.0] * 10), ([1.0] * 10, times)):
        found = paired_ratio(*pair)
        assert found is not None
        assert bool(found.suspect) is suspect
    assert spread([1.0]) == 0


def test_ratios_that_differ_are_suspect_where_neither_series_is():
    own = [1.0, 1.4, 1.0, 1.4, 1.0, 1.4]
    found = paired_ratio(own, own[::-1])
    assert found is not None
    assert "ratios of pairs differ by" in found.suspect
    assert spread_reason("calls", own) == ""


def test_the_reference_itself_differs_from_nothing():
    assert not Ratio(1.0, 1.0, 1.0, 10).differs
