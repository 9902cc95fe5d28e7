"""Depth errors against official code, in the units of the scene and in normalised ones."""

from __future__ import annotations

import numpy as np
import pytest

from bench3r.metrics import clouds, depth, normalised


def check_errors(found, z, prefix):
    """Compare depth errors with the golden arrays that start with ``prefix``."""
    for key, value in found.items():
        slack = 1e-6 if "delta" in key else 0
        np.testing.assert_allclose(value, z[f"{prefix}{key}"], rtol=1e-7, atol=slack)


@pytest.mark.parametrize("name", ["p6_depth", "p6_depth_clip"])
def test_depth_equals_the_official_code(golden, name):
    _, z = golden(name)
    maps = z["in_gt_depth"].astype(np.float64)
    farthest = z["in_max_depth"] if z["in_max_depth"] > 0 else np.inf
    valid = (maps > 0) & (maps < farthest)
    true = maps[valid]
    predicted = z["out_pred_resized"].astype(np.float64)[valid]
    own = depth.depth_mse(predicted, true)
    np.testing.assert_allclose(own["mse"], z["out_own_dmse"], rtol=1e-9)
    np.testing.assert_allclose(own["mse_norm"], z["out_own_dmse_norm"], rtol=1e-9)
    check_errors(depth.depth_errors(predicted, true), z, "out_metric_f64_")
    scaled = predicted * depth.median_ratio(predicted, true, lower=True)
    check_errors(depth.depth_errors(scaled, true), z, "out_median_f64_")


def homogeneous(poses):
    """World-to-camera poses [2, 3, 4] as [2, 4, 4]."""
    bottom = np.tile([[[0.0, 0, 0, 1]]], (2, 1, 1))
    return np.concatenate([poses.astype(np.float64), bottom], 1)


def test_lite3r_metrics_equal_the_official_code(golden):
    _, z = golden("p7_lite3r")
    predicted = normalised.relative_to_first(homogeneous(z["in_pred_w2c"]))
    true = normalised.relative_to_first(homogeneous(z["in_gt_w2c"]))
    rotation = normalised.rotation_errors(predicted, true)
    np.testing.assert_allclose(rotation.mean(), z["out_rot_err_deg"], atol=2e-3)
    np.testing.assert_allclose(rotation[1:].mean(), z["out_rot_err_deg_without_ref"], atol=2e-3)
    translation = normalised.translation_errors(predicted, true).mean()
    np.testing.assert_allclose(translation, z["out_trans_err"], rtol=1e-4)
    own_points = z["out_pred_points"].astype(np.float64)
    pair = clouds.pair_of(own_points, z["out_gt_points"].astype(np.float64))
    chamfer = normalised.squared_chamfer(pair.accuracy.distance, pair.completeness.distance)
    np.testing.assert_allclose(chamfer, z["out_chamfer_exact_f64"], rtol=1e-5)
    fscore = clouds.fscore(pair, 0.05)["fscore"]
    np.testing.assert_allclose(fscore, z["out_fscore_005_exact_f64"], atol=1e-3)
    p = z["in_pred_depth"][z["in_valid"]].astype(np.float64)
    t = z["in_gt_depth"][z["in_valid"]].astype(np.float64)
    errors = depth.depth_errors(p * normalised.least_squares_scale(p, t), t)
    np.testing.assert_allclose(errors["absrel"], z["out_depth_abs_rel"], rtol=1e-4)
    np.testing.assert_allclose(errors["delta1"], z["out_depth_delta1"], atol=1e-4)
