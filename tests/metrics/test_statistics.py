"""Intervals and effect sizes against scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap, ttest_rel

from bench3r.metrics import statistics


@pytest.fixture
def scenes(rng):
    """Two paired samples of 60 scenes."""
    return rng.normal(1.0, 0.3, 60), rng.normal(0.8, 0.3, 60)


def test_paired_bootstrap_matches_scipy_and_closed_form(scenes):
    a, b = scenes
    ours = statistics.paired_bootstrap(a, b)
    theirs = bootstrap(
        (a - b,), np.mean, method="percentile", n_resamples=10000, random_state=1
    ).confidence_interval
    assert ours.mean == pytest.approx((a - b).mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)
    error = (a - b).std(ddof=1) / np.sqrt(60)
    assert (ours.high - ours.low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert ours.excludes_zero


def test_effect_size_matches_scipys_t(scenes):
    few = slice(0, 9)
    a, b = scenes
    plain = ttest_rel(a[few], b[few]).statistic / 3  # t = d_z * sqrt(n)
    assert statistics.effect_size(a[few], b[few]) == pytest.approx(plain * (1 - 3 / 31))
    assert np.isnan(statistics.effect_size(a, a - 0.5))


def test_weighted_means_match_repetition_and_closed_form(scenes, rng):
    a, _ = scenes
    weights = rng.integers(1, 9, 60)
    weighted = statistics.bootstrap_mean(a, weights)
    assert weighted.mean == pytest.approx(np.repeat(a, weights).mean())
    assert weighted.low < weighted.mean < weighted.high
    # of a ratio of means
    error = np.sqrt((weights**2 * (a - weighted.mean) ** 2).sum()) / weights.sum()
    assert (weighted.high - weighted.low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_what_cannot_be_compared_is_refused(scenes):
    a, b = scenes
    with pytest.raises(ValueError, match="positive weights"):
        statistics.bootstrap_mean(a, np.zeros(60))
    with pytest.raises(ValueError, match="equally long"):
        statistics.paired_bootstrap(a, b[:3])
    with pytest.raises(ValueError, match="at least 2"):
        statistics.paired_bootstrap(a[:1], b[:1])
