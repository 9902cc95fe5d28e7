"""Similarities and ICP against official code and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench3r.metrics.alignment import icp, move, umeyama
from bench3r.metrics.clouds import Cloud, accuracy_completeness, normal_consistency, pair_of


@pytest.mark.parametrize("name", ["p1_pi3_room", "p1_pi3_dtu_mm"])
def test_pi3_point_maps_equal_the_official_code(golden, name):
    _, z = golden(name)
    valid = z["in_valid"]
    true = z["in_gt_pts"][valid].astype(np.float64)
    predicted = z["in_pred_pts"][valid].astype(np.float64)
    similarity = umeyama(predicted, true)
    np.testing.assert_allclose(similarity.scale, z["out_umeyama_scale"], rtol=1e-9)
    np.testing.assert_allclose(similarity.rotation, z["out_umeyama_R"], atol=1e-9)
    aligned = similarity.apply(predicted)
    before = accuracy_completeness(pair_of(aligned, true))
    for key in ("acc_mean", "acc_median", "comp_mean", "comp_median"):
        np.testing.assert_allclose(before[key], z[f"out_noicp_{key}"], rtol=1e-7)
    result = icp(aligned, Cloud(true), float(z["in_icp_max_dist"]))
    np.testing.assert_allclose(result.transform, z["out_icp_T"], atol=1e-6)
    assert result.correspondences == z["out_icp_num_corr"]
    np.testing.assert_allclose(result.fitness, z["out_icp_fitness"], rtol=1e-9)
    final = pair_of(move(result.transform, aligned), true)
    after = {**accuracy_completeness(final), **normal_consistency(final)}
    np.testing.assert_allclose(after.pop("chamfer"), z["out_cd_half_sum"], rtol=1e-7)
    for key, value in after.items():
        slack = 1e-6 if key.startswith("nc") else 0
        np.testing.assert_allclose(value, z[f"out_{key}"], rtol=1e-7, atol=slack)


def test_umeyama_recovers_a_similarity_and_never_mirrors(rng):
    points = rng.normal(size=(100, 3))
    rotation = Rotation.random(random_state=0).as_matrix()
    found = umeyama(points, 2.5 * points @ rotation.T + [1, 2, 3])
    np.testing.assert_allclose(found.scale, 2.5)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-12)
    mirrored = umeyama(points, points * [1, 1, -1])
    np.testing.assert_allclose(np.linalg.det(mirrored.rotation), 1)
    flat = rng.normal(size=(50, 3)) * [1, 1, 0]
    np.testing.assert_allclose(np.linalg.det(umeyama(flat, flat @ rotation.T).rotation), 1)


@pytest.mark.parametrize("points", [np.zeros((2, 3)), np.ones((10, 3)), np.full((5, 3), np.nan)])
def test_umeyama_refuses_what_cannot_be_aligned(points):
    with pytest.raises(ValueError, match="alignment needs"):
        umeyama(points, np.random.default_rng(0).normal(size=points.shape))


def test_icp_converges_inside_its_radius_only(rng):
    points = rng.normal(size=(400, 3))
    cloud = Cloud(points)
    near = icp(points + [0.05, 0, 0], cloud, 0.1)
    np.testing.assert_allclose(near.transform[:3, 3], [-0.05, 0, 0], atol=1e-3)
    far = icp(points + [100.0, 0, 0], cloud, 0.1)
    np.testing.assert_allclose(far.transform, np.eye(4))
    assert far.fitness == 0
