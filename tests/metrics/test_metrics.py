"""Metrics against official evaluation code, closed forms and scipy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench3r.api.errors import Bench3RError
from bench3r.metrics import clouds, depth, normalised, pose, statistics
from bench3r.metrics.alignment import icp, move, umeyama
from bench3r.parity.check import check_file
from tests.conftest import GOLDEN


@pytest.mark.parametrize("case", sorted(p.stem for p in GOLDEN.glob("p[0-9]_*.json")))
def test_protocols_equal_the_official_code(case):
    """Every output of the golden metric files, computed again from their inputs."""
    rows, passed = check_file(GOLDEN / f"{case}.json")
    assert passed, [r for r in rows if r[3] == "FAIL"]
    assert sum(r[3] == "pass" for r in rows) >= 7


def test_a_wrong_metric_fails_parity(monkeypatch):
    from bench3r.metrics import scannet50

    monkeypatch.setattr(scannet50, "VOXEL", 0.06)
    assert not check_file(GOLDEN / "p3_scannet_room.json")[1]


def test_an_unknown_protocol_is_named(tmp_path):
    case = json.loads((GOLDEN / "p5_traj.json").read_text())
    (tmp_path / "x.npz").write_bytes((GOLDEN / "p5_traj.npz").read_bytes())
    (tmp_path / "x.json").write_text(json.dumps({**case, "protocol": "12: of tomorrow"}))
    with pytest.raises(
        Bench3RError, match=r"protocol '12: of tomorrow' is unknown: expected a number from 1 to 9"
    ):
        check_file(tmp_path / "x.json")
    np.savez(tmp_path / "x.npz", in_gt_c2w=np.eye(4)[None])
    (tmp_path / "x.json").write_text(json.dumps(case))
    with pytest.raises(Bench3RError, match="lacks the array in_pred_c2w"):
        check_file(tmp_path / "x.json")


@pytest.mark.parametrize("name", ["p1_pi3_room", "p1_pi3_dtu_mm"])
def test_pi3_point_maps_equal_the_official_code(golden, name):
    _, z = golden(name)
    valid = z["in_valid"]
    truth, predicted = (z[k][valid].astype(np.float64) for k in ("in_gt_pts", "in_pred_pts"))
    similarity = umeyama(predicted, truth)
    np.testing.assert_allclose(similarity.scale, z["out_umeyama_scale"], rtol=1e-9)
    np.testing.assert_allclose(similarity.rotation, z["out_umeyama_R"], atol=1e-9)
    aligned = similarity.apply(predicted)
    before = clouds.accuracy_completeness(aligned, truth)
    for key in ("acc_mean", "acc_median", "comp_mean", "comp_median"):
        np.testing.assert_allclose(before[key], z[f"out_noicp_{key}"], rtol=1e-7)
    result = icp(aligned, truth, float(z["in_icp_max_dist"]))
    np.testing.assert_allclose(result.transform, z["out_icp_T"], atol=1e-6)
    assert result.correspondences == z["out_icp_num_corr"]
    np.testing.assert_allclose(result.fitness, z["out_icp_fitness"], rtol=1e-9)
    final = move(result.transform, aligned)
    after = {
        **clouds.accuracy_completeness(final, truth),
        **clouds.normal_consistency(final, truth),
    }
    np.testing.assert_allclose(after.pop("chamfer"), z["out_cd_half_sum"], rtol=1e-7)
    for key, value in after.items():
        np.testing.assert_allclose(
            value, z[f"out_{key}"], rtol=1e-7, atol=1e-6 if key.startswith("nc") else 0
        )


@pytest.mark.parametrize("convention", ["pi3", "vggt", "da3"])
@pytest.mark.parametrize("sequence", [0, 1, 2])
def test_relative_pose_equals_the_official_code(golden, sequence, convention):
    _, z = golden("p4_relpose")
    prefix = f"out_seq{sequence}_{convention}"
    rotation, translation = pose.relative_pose_errors(
        z[f"in_seq{sequence}_pred_w2c"], z[f"in_seq{sequence}_gt_w2c"], convention
    )
    np.testing.assert_allclose(rotation, z[f"{prefix}_rot_deg"], atol=5e-5)
    np.testing.assert_allclose(translation, z[f"{prefix}_trans_deg"], atol=5e-5)
    for threshold in (3, 5, 15, 30):
        value = pose.pose_auc(rotation, translation, threshold)
        np.testing.assert_allclose(value, z[f"{prefix}_auc{threshold}"], atol=1e-9)


def test_trajectory_equals_the_official_code(golden):
    _, z = golden("p5_traj")
    errors = pose.trajectory_errors(z["in_pred_c2w"], z["in_gt_c2w"])
    for key, value in errors.items():
        np.testing.assert_allclose(value, z[f"out_{key}"], rtol=1e-6)


@pytest.mark.parametrize("name", ["p6_depth", "p6_depth_clip"])
def test_depth_equals_the_official_code(golden, name):
    _, z = golden(name)
    truth, predicted = z["in_gt_depth"].astype(np.float64), z["out_pred_resized"].astype(np.float64)
    valid = (truth > 0) & (truth < (z["in_max_depth"] if z["in_max_depth"] > 0 else np.inf))
    truth, predicted = truth[valid], predicted[valid]
    own = depth.depth_mse(predicted, truth)
    np.testing.assert_allclose(own["mse"], z["out_own_dmse"], rtol=1e-9)
    np.testing.assert_allclose(own["mse_norm"], z["out_own_dmse_norm"], rtol=1e-9)
    for key, value in depth.depth_errors(predicted, truth).items():
        np.testing.assert_allclose(
            value, z[f"out_metric_f64_{key}"], rtol=1e-7, atol=1e-6 if "delta" in key else 0
        )
    scaled = predicted * depth.median_ratio(predicted, truth, lower=True)
    for key, value in depth.depth_errors(scaled, truth).items():
        np.testing.assert_allclose(
            value, z[f"out_median_f64_{key}"], rtol=1e-7, atol=1e-6 if "delta" in key else 0
        )


def test_fscore_equals_the_official_code(golden):
    _, z = golden("p9_fscore")
    predicted, truth = z["in_pred_points"].astype(np.float64), z["in_gt_points"].astype(np.float64)
    np.testing.assert_allclose(clouds.diagonal(truth), z["out_gt_bbox_diagonal"], rtol=1e-9)
    for name, threshold in (
        ("t002", 0.02),
        ("t005", 0.05),
        ("t010", 0.1),
        ("d1pct", 0.01 * clouds.diagonal(truth)),
    ):
        for key, value in clouds.fscore(predicted, truth, threshold).items():
            np.testing.assert_allclose(value, z[f"out_{name}_{key}"], rtol=1e-9)
    np.testing.assert_allclose(
        clouds.accuracy_completeness(predicted, truth)["chamfer"],
        z["out_chamfer_half_sum"],
        rtol=1e-9,
    )


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


def test_parallel_planes():
    x, y = np.mgrid[:20, :20].reshape(2, -1) / 10.0
    plane = np.stack([x, y, 0 * x], 1)
    result = clouds.accuracy_completeness(plane + [0, 0, 0.3], plane)
    assert result["acc_mean"] == pytest.approx(0.3)
    assert result["chamfer"] == pytest.approx(0.3)
    assert clouds.normal_consistency(plane + [0, 0, 0.3], plane)["nc_mean"] == pytest.approx(1)
    assert clouds.fscore(plane + [0, 0, 0.3], plane, 0.3)["fscore"] == 0  # strict


def test_icp_converges_inside_its_radius_only(rng):
    cloud = rng.normal(size=(400, 3))
    near = icp(cloud + [0.05, 0, 0], cloud, 0.1)
    np.testing.assert_allclose(near.transform[:3, 3], [-0.05, 0, 0], atol=1e-3)
    far = icp(cloud + [100.0, 0, 0], cloud, 0.1)
    np.testing.assert_allclose(far.transform, np.eye(4))
    assert far.fitness == 0


def test_trees_and_distances_are_made_once_per_cloud(rng, monkeypatch):
    built = []
    real = clouds.cKDTree
    monkeypatch.setattr(clouds, "cKDTree", lambda points: built.append(len(points)) or real(points))
    clouds.forget()
    a, b = rng.random((50, 3)), rng.random((60, 3))
    first = clouds.accuracy_completeness(a, b)
    clouds.normal_consistency(a, b)
    clouds.fscore(a, b, 0.1)
    assert sorted(built) == [50, 60]
    c = a + 1.0  # another cloud of the same size
    assert clouds.accuracy_completeness(c, b) != first
    assert sorted(built) == [50, 50, 60]
    for _ in range(20):
        clouds.accuracy_completeness(rng.random((9, 3)), b)
    assert len(clouds._kept) <= clouds.KEPT
    clouds.forget()
    assert not clouds._kept


def test_auc_edges():
    zero = np.zeros(10)
    assert pose.pose_auc(zero, zero, 30) == 1
    assert pose.pose_auc(np.full(10, 29.5), zero, 30) == pytest.approx(1 / 30)
    assert pose.pose_auc(np.full(10, 31.0), zero, 30) == 0


def test_paired_bootstrap_matches_scipy_and_closed_form(rng):
    from scipy.stats import bootstrap

    a, b = rng.normal(1.0, 0.3, 60), rng.normal(0.8, 0.3, 60)
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
    from scipy.stats import ttest_rel

    few = slice(0, 9)
    plain = ttest_rel(a[few], b[few]).statistic / 3  # t = d_z * sqrt(n)
    assert statistics.effect_size(a[few], b[few]) == pytest.approx(plain * (1 - 3 / 31))
    assert np.isnan(statistics.effect_size(a, a - 0.5))
    weights = rng.integers(1, 9, 60)
    weighted, repeated = statistics.bootstrap_mean(a, weights), np.repeat(a, weights)
    assert weighted.mean == pytest.approx(repeated.mean())
    assert weighted.low < weighted.mean < weighted.high
    error = (
        np.sqrt((weights**2 * (a - weighted.mean) ** 2).sum()) / weights.sum()
    )  # of a ratio of means
    assert (weighted.high - weighted.low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    with pytest.raises(ValueError, match="positive weights"):
        statistics.bootstrap_mean(a, 0 * weights)
    with pytest.raises(ValueError, match="equally long"):
        statistics.paired_bootstrap(a, b[:3])
    with pytest.raises(ValueError, match="at least 2"):
        statistics.paired_bootstrap(a[:1], b[:1])


def test_lite3r_metrics_equal_the_official_code(golden):
    _, z = golden("p7_lite3r")
    square = [
        np.concatenate([z[k].astype(np.float64), np.tile([[[0.0, 0, 0, 1]]], (2, 1, 1))], 1)
        for k in ("in_pred_w2c", "in_gt_w2c")
    ]
    predicted, truth = (normalised.relative_to_first(w) for w in square)
    rotation = normalised.rotation_errors(predicted, truth)
    np.testing.assert_allclose(rotation.mean(), z["out_rot_err_deg"], atol=2e-3)
    np.testing.assert_allclose(rotation[1:].mean(), z["out_rot_err_deg_without_ref"], atol=2e-3)
    np.testing.assert_allclose(
        normalised.translation_errors(predicted, truth).mean(), z["out_trans_err"], rtol=1e-4
    )
    a, b = (z[k].astype(np.float64) for k in ("out_pred_points", "out_gt_points"))
    forward, back, _, _ = clouds.cloud_distances(a, b)
    np.testing.assert_allclose(
        normalised.squared_chamfer(forward.distance, back.distance),
        z["out_chamfer_exact_f64"],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        clouds.fscore(a, b, 0.05)["fscore"], z["out_fscore_005_exact_f64"], atol=1e-3
    )
    p, t = (
        z["in_pred_depth"][z["in_valid"]].astype(np.float64),
        z["in_gt_depth"][z["in_valid"]].astype(np.float64),
    )
    errors = depth.depth_errors(p * normalised.least_squares_scale(p, t), t)
    np.testing.assert_allclose(errors["absrel"], z["out_depth_abs_rel"], rtol=1e-4)
    np.testing.assert_allclose(errors["delta1"], z["out_depth_delta1"], atol=1e-4)
