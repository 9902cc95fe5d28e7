"""Relative poses and trajectories against official code."""

from __future__ import annotations

import numpy as np
import pytest

from bench3r.metrics import pose


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


def test_one_view_has_no_relative_pose_and_conventions_are_known():
    with pytest.raises(ValueError, match="at least 2 views, got 1"):
        pose.relative_pose_errors(np.eye(4)[None], np.eye(4)[None])
    two = np.stack([np.eye(4), np.eye(4)])
    with pytest.raises(ValueError, match="unknown relative pose convention 'mine'"):
        pose.relative_pose_errors(two, two, "mine")


def test_trajectory_equals_the_official_code(golden):
    _, z = golden("p5_traj")
    errors = pose.trajectory_errors(z["in_pred_c2w"], z["in_gt_c2w"])
    for key, value in errors.items():
        np.testing.assert_allclose(value, z[f"out_{key}"], rtol=1e-6)


def test_auc_edges():
    zero = np.zeros(10)
    assert pose.pose_auc(zero, zero, 30) == 1
    assert pose.pose_auc(np.full(10, 29.5), zero, 30) == pytest.approx(1 / 30)
    assert pose.pose_auc(np.full(10, 31.0), zero, 30) == 0
