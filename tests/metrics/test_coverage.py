"""The shipped interval covers the true mean of few, skewed and heavy-tailed differences."""

from __future__ import annotations

import numpy as np
import pytest

from bench3r.metrics.statistics import MARKS_FROM, mean_interval
from benchmarks.coverage import (
    CALLED,
    CALLED_EXTREME,
    COVERED,
    COVERED_EXTREME,
    DIFFERENCES,
    EXTREME,
    Rates,
    family,
    percentile,
    rates,
)

DRAWS = 800
CHANCE = 0.015  # two standard errors of a rate of 5 % over DRAWS
USUAL = [like for like in DIFFERENCES if like != EXTREME]


def holds(found: Rates, called: float = CALLED, covered: float = COVERED) -> bool:
    return found.called <= called + CHANCE and found.covered >= covered - CHANCE


@pytest.mark.parametrize("scenes", [3, 6, 9, 30])
@pytest.mark.parametrize("like", USUAL)
def test_the_interval_covers(like, scenes):
    found = rates(like, scenes, DRAWS)
    assert holds(found), found


@pytest.mark.parametrize("scenes", [3, 6, 9, 30])
def test_an_extreme_skew_is_missed_more_often_as_the_documents_say(scenes):
    found = rates(EXTREME, scenes, DRAWS)
    assert holds(found, CALLED_EXTREME, COVERED_EXTREME), found
    assert found.covered > percentile(EXTREME, scenes, DRAWS).covered + 0.05


@pytest.mark.parametrize("scenes", [3, 6, 9])
@pytest.mark.parametrize("like", USUAL)
def test_the_percentile_bootstrap_would_fail_these_bounds(like, scenes):
    assert not holds(percentile(like, scenes, DRAWS))


@pytest.mark.parametrize("scenes", range(2, MARKS_FROM))
def test_nothing_is_called_a_difference_below_six_scenes(scenes):
    found = rates(EXTREME, scenes, DRAWS)
    assert found.called == 0
    assert found.covered >= COVERED_EXTREME - CHANCE


@pytest.mark.parametrize("scenes", [3, 6, 9, 30])
def test_weighted_scenes_are_covered(scenes):
    rng = np.random.default_rng(scenes)
    covered = 0
    for _ in range(DRAWS):
        weights = rng.uniform(0.3, 3, scenes)  # pixels, say
        found = mean_interval(rng.exponential(size=scenes) - 1, weights)
        covered += found.low <= 0 <= found.high
    assert covered / DRAWS >= COVERED - CHANCE


@pytest.mark.parametrize("scenes", [6, 9, 30])
def test_a_family_seldom_finds_any_difference_where_there_is_none(scenes):
    assert max(family("normal", scenes, 200)) <= CALLED + CHANCE
