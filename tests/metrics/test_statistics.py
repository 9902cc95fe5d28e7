"""Intervals, effect sizes and families against scipy, enumeration and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import false_discovery_control, permutation_test, t, ttest_rel

from bench3r.metrics import statistics
from bench3r.metrics.resampling import holm, joint_sign_flips, sign_flip, studentised
from bench3r.metrics.statistics import MARKS_FROM, mean_interval, paired_interval


@pytest.fixture
def scenes(rng):
    """Two paired samples of 60 scenes."""
    return rng.normal(1.0, 0.3, 60), rng.normal(0.8, 0.3, 60)


def test_many_scenes_agree_with_students_t(scenes):
    a, b = scenes
    ours = paired_interval(a, b)
    low, high = t.interval(0.95, 59, (a - b).mean(), (a - b).std(ddof=1) / np.sqrt(60))
    assert ours.mean == pytest.approx((a - b).mean())
    assert ours.low == pytest.approx(low, abs=0.01)
    assert ours.high == pytest.approx(high, abs=0.01)
    assert ours.excludes_zero
    assert ours.p < 0.01
    assert (ours.n, ours.method) == (60, statistics.MANY)


@pytest.mark.parametrize("n", [2, 5, 6, 9])
def test_sign_flips_are_those_of_scipys_exact_permutation_test(rng, n):
    x = rng.normal(0.5, 1, n)
    weights = rng.uniform(0.5, 2, n)
    for w in (np.ones(n), weights):
        exact = permutation_test((w * x,), np.sum, permutation_type="samples", n_resamples=np.inf)
        assert sign_flip(x, w, 0.95).p == pytest.approx(exact.pvalue)


@pytest.mark.parametrize("n", [6, 9])
def test_the_sign_flip_interval_holds_all_means_that_the_test_keeps(rng, n):
    x = rng.exponential(size=n)
    low, high, _ = sign_flip(x, np.ones(n), 0.95)
    step = 1e-6
    for end, outwards in ((low, -step), (high, step)):
        assert sign_flip(x - end + outwards, np.ones(n), 0.95).p > 0.05
        assert sign_flip(x - end - outwards, np.ones(n), 0.95).p <= 0.05
    if n == MARKS_FROM:  # one sign pattern in 64 may lie beyond each end
        assert (low, high) == (x.min(), x.max())


def test_the_studentised_bootstrap_holds_the_means_that_it_keeps(rng):
    x = rng.exponential(size=9)
    low, high, _ = studentised(x, np.ones(9), 0.95)
    assert x.mean() - low < high - x.mean()  # longer where the skew hides scenes
    for end, outwards in ((low, -1e-6), (high, 1e-6)):
        assert studentised(x - end + outwards, np.ones(9), 0.95).p > 0.05
        assert studentised(x - end - outwards, np.ones(9), 0.95).p <= 0.05


def test_few_scenes_have_an_interval_and_no_verdict():
    few = mean_interval(np.array([0.2, 0.21, 0.22]))
    half = t.ppf(0.99, 2) * 0.01 / np.sqrt(3)
    assert (few.low, few.high) == pytest.approx((0.21 - half, 0.21 + half))
    assert (few.n, few.method, few.p) == (3, "t", 0.25)
    assert few.low > 0
    assert not few.excludes_zero  # 2 of 8 sign patterns are as far from zero
    alone = mean_interval(np.array([0.2]))
    assert np.isnan([alone.low, alone.high]).all()
    assert (alone.mean, alone.n, alone.method) == (0.2, 1, "")


def test_equal_differences_have_an_interval_without_width():
    same = mean_interval(np.full(8, -0.1))
    np.testing.assert_allclose([same.low, same.high], -0.1)
    assert same.excludes_zero
    none = mean_interval(np.zeros(8))
    assert (none.low, none.high, none.p) == (0, 0, 1)
    assert not none.excludes_zero


@pytest.mark.parametrize("n", [6, 9, 13, 40])
def test_p_value_and_interval_say_the_same(rng, n):
    for _ in range(100):
        found = mean_interval(rng.normal(1 / np.sqrt(n), 0.5, n))
        assert found.excludes_zero == (found.p <= 0.05)


def test_effect_size_matches_scipys_t(scenes):
    few = slice(0, 9)
    a, b = scenes
    plain = ttest_rel(a[few], b[few]).statistic / 3  # t = d_z * sqrt(n)
    assert statistics.effect_size(a[few], b[few]) == pytest.approx(plain * (1 - 3 / 31))
    assert np.isnan(statistics.effect_size(a, a - 0.5))
    assert np.isnan(statistics.effect_size(a[:5], b[:5]))  # its spread is chance


def test_weighted_means_match_repetition_and_closed_form(scenes, rng):
    a, _ = scenes
    weights = rng.integers(1, 9, 60)
    weighted = mean_interval(a, weights)
    assert weighted.mean == pytest.approx(np.repeat(a, weights).mean())
    assert weighted.low < weighted.mean < weighted.high
    # of a ratio of means
    error = np.sqrt((weights**2 * (a - weighted.mean) ** 2).sum()) / weights.sum()
    assert (weighted.high - weighted.low) / 2 == pytest.approx(2 * error, rel=0.1)
    scaled = mean_interval(a, weights * 1e6)
    np.testing.assert_allclose(scaled[1:3], weighted[1:3])


def test_holm_corrects_each_by_how_many_are_left():
    adjusted = holm(np.array([0.03, 0.01, np.nan, 0.04]))
    np.testing.assert_allclose(adjusted, [0.06, 0.03, np.nan, 0.06])
    assert holm(np.array([])).shape == (0,)


def test_discoveries_are_those_of_scipys_false_discovery_control(rng):
    found = [mean_interval(rng.normal(shift, 1, 9)) for shift in (0, 0.5, 1, 2, 3, 3)]
    few = mean_interval(rng.normal(3, 1, 5))
    adjusted = statistics.discoveries([*found, few])
    expected = false_discovery_control([one.p for one in found])
    np.testing.assert_allclose(adjusted[:-1], expected)
    assert np.isnan(adjusted[-1])
    assert statistics.discoveries([]) == []


def test_nine_scenes_can_find_several_differences_of_a_large_family(rng):
    """No p value of 9 scenes is below 2 in 512: Holm would leave none of 20."""
    found = [mean_interval(rng.normal(3 if i < 8 else 0, 1, 9)) for i in range(20)]
    assert 20 * min(one.p for one in found) > 0.05
    assert (np.array(statistics.discoveries(found)[:8]) <= 0.05).all()


def test_joint_flips_of_one_comparison_are_its_own(rng):
    x = rng.normal(0.5, 1, (8, 1))
    own = sign_flip(x[:, 0], np.ones(8), 0.95).p
    assert joint_sign_flips(x, np.ones(8))[0] == pytest.approx(own)


def test_joint_flips_match_an_enumeration(rng):
    x = rng.normal(0.4, 1, (6, 3))
    scaled = x / np.sqrt((x**2).sum(0))
    observed = np.abs(scaled.sum(0))
    order = np.argsort(-observed)
    expected = np.zeros(3)
    for place, one in enumerate(order):
        rest = scaled[:, order[place:]]
        signs = map(np.array, itertools.product([-1, 1], repeat=6))
        largest = np.array([np.abs(s @ rest).max() for s in signs])
        expected[one] = (largest >= observed[one] - 1e-9).mean()
    expected[order] = np.maximum.accumulate(expected[order])
    np.testing.assert_allclose(joint_sign_flips(x, np.ones(6)), expected)


def test_a_large_family_of_nine_scenes_can_still_find_a_difference(rng):
    x = rng.normal(0, 1, (9, 20))
    x[:, 0] = 5 + rng.normal(0, 1, 9)
    single = mean_interval(x[:, 0]).p
    assert 20 * single > 0.05  # Holm alone could find nothing
    assert statistics.familywise(x)[0] <= 0.05


def test_a_family_leaves_out_comparisons_of_few_scenes(rng):
    x = rng.normal(3, 1, (9, 2))
    x[5:, 1] = np.nan
    adjusted = statistics.familywise(x)
    assert adjusted[0] <= 0.05
    assert np.isnan(adjusted[1])
    assert np.isnan(statistics.familywise(x[:5])).all()


def test_what_cannot_be_compared_is_refused(scenes):
    a, b = scenes
    with pytest.raises(ValueError, match="positive weights"):
        mean_interval(a, np.zeros(60))
    with pytest.raises(ValueError, match="at least 1"):
        mean_interval(a[:0])
    with pytest.raises(ValueError, match="equally long"):
        paired_interval(a, b[:3])
    with pytest.raises(ValueError, match="at least 2"):
        paired_interval(a[:1], b[:1])
