"""Distances between clouds against official code and closed forms; nothing is computed twice."""

from __future__ import annotations

import numpy as np
import pytest

from bench3r.metrics import clouds


def test_fscore_equals_the_official_code(golden):
    _, z = golden("p9_fscore")
    true = z["in_gt_points"].astype(np.float64)
    pair = clouds.pair_of(z["in_pred_points"].astype(np.float64), true)
    diagonal = clouds.diagonal(true)
    np.testing.assert_allclose(diagonal, z["out_gt_bbox_diagonal"], rtol=1e-9)
    thresholds = {"t002": 0.02, "t005": 0.05, "t010": 0.1, "d1pct": 0.01 * diagonal}
    for name, threshold in thresholds.items():
        for key, value in clouds.fscore(pair, threshold).items():
            np.testing.assert_allclose(value, z[f"out_{name}_{key}"], rtol=1e-9)
    chamfer = clouds.accuracy_completeness(pair)["chamfer"]
    np.testing.assert_allclose(chamfer, z["out_chamfer_half_sum"], rtol=1e-9)


def test_parallel_planes():
    x, y = np.mgrid[:20, :20].reshape(2, -1) / 10.0
    plane = np.stack([x, y, 0 * x], 1)
    pair = clouds.pair_of(plane + [0, 0, 0.3], plane)
    result = clouds.accuracy_completeness(pair)
    assert result["acc_mean"] == pytest.approx(0.3)
    assert result["chamfer"] == pytest.approx(0.3)
    assert clouds.normal_consistency(pair)["nc_mean"] == pytest.approx(1)
    assert clouds.fscore(pair, 0.3)["fscore"] == 0  # strict


def test_an_empty_cloud_is_refused(rng):
    with pytest.raises(ValueError, match="a cloud is empty: 0 predicted and 5 true points"):
        clouds.pair_of(np.zeros((0, 3)), rng.random((5, 3)))


@pytest.fixture
def built(monkeypatch):
    """The sizes of the search trees that were built, and of the clouds that were searched for."""
    trees, searches = [], []

    class Counted:
        def __init__(self, points):
            trees.append(len(points))
            self.tree = clouds_tree(points)

        def query(self, points, **settings):
            searches.append(len(points))
            return self.tree.query(points, **settings)

    clouds_tree = clouds.cKDTree
    monkeypatch.setattr(clouds, "cKDTree", Counted)
    return trees, searches


def test_trees_and_distances_are_made_once_per_pair(rng, built):
    trees, searches = built
    a = rng.random((50, 3))
    b = rng.random((60, 3))
    pair = clouds.pair_of(a, b)
    assert not trees
    first = clouds.accuracy_completeness(pair)
    clouds.fscore(pair, 0.1)
    clouds.fscore(pair, 0.2)
    assert sorted(trees) == [50, 60]
    assert sorted(searches) == [50, 60]
    clouds.normal_consistency(pair)  # searches each cloud for its own neighbours
    assert sorted(trees) == [50, 60]
    assert sorted(searches) == [50, 50, 60, 60]
    shifted = clouds.CloudPair(clouds.Cloud(a + 1.0), pair.true)  # the true cloud is shared
    assert clouds.accuracy_completeness(shifted) != first
    assert sorted(trees) == [50, 50, 60]


def test_threads_change_no_number(rng):
    a = rng.random((300, 3))
    b = rng.random((200, 3))
    one = clouds.pair_of(a, b)
    two = clouds.pair_of(a, b, workers=2)
    assert clouds.accuracy_completeness(one) == clouds.accuracy_completeness(two)
    assert clouds.normal_consistency(one) == clouds.normal_consistency(two)
