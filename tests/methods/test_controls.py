"""Controls bound scores: near the ground truth in any frame and unit, and never NaN."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bench3r.api.method import METHODS, Method
from bench3r.api.scene import SceneData
from bench3r.metrics.pose import pose_auc, relative_pose_errors


def scene(name: str, rng: np.random.Generator, views: int = 4) -> SceneData:
    """Cameras half a unit apart that look at a wall three units away."""
    c2w = np.tile(np.eye(4), (views, 1, 1))
    c2w[:, :3, :3] = Rotation.from_rotvec(rng.normal(0, 0.2, (views, 3))).as_matrix()
    c2w[:, :3, 3] = 0.5 * rng.normal(size=(views, 3))
    depth = np.full((views, 24, 32), 3.0, np.float32)
    depth[:, :4] = 0
    k = np.tile(np.array([[30.0, 0, 16], [0, 30, 12], [0, 0, 1]]), (views, 1, 1))
    images = np.zeros((views, 24, 32, 3), np.uint8)
    return SceneData(name, tuple("abcd"[:views]), images, k, c2w, depth, "m", "indoor", 0.1)


def control(name: str) -> Method:
    return METHODS.get(name)()


def errors(found, true: SceneData) -> tuple[np.ndarray, np.ndarray]:
    w2c = np.tile(np.eye(4), (len(true.c2w), 1, 1))
    w2c[:, :3] = found.extrinsics[0].double().numpy()
    return relative_pose_errors(w2c, np.linalg.inv(true.c2w))


def test_the_oracle_is_near_the_ground_truth_in_every_pose():
    rng = np.random.default_rng(0)
    scores = []
    for i in range(20):
        true = scene(f"scene{i}", rng)
        scores.append(pose_auc(*errors(control("oracle").perturb(true, 0), true), 30))
    assert np.mean(scores) > 0.8


def test_the_oracle_does_not_depend_on_the_worlds_frame_or_unit():
    true = scene("one", np.random.default_rng(1))
    moved = scene("one", np.random.default_rng(1))
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix()
    moved.c2w[:, :3, 3] *= 1000
    moved.c2w = turn @ moved.c2w
    moved.c2w[:, :3, 3] += [5e4, -2e4, 1e4]
    moved.depth = 1000 * moved.depth
    a, b = (errors(control("oracle").perturb(s, 0), s) for s in (true, moved))
    for mine, theirs in zip(a, b, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=0.5)


@pytest.mark.parametrize("name", ["oracle", "trivial"])
def test_controls_answer_where_ground_truth_has_depth_alone(name):
    true = scene("kitti", np.random.default_rng(2))
    true.c2w[:] = np.nan
    true.intrinsics[:] = np.nan
    method = control(name)
    if name == "oracle":
        found = method.perturb(true, 0)
    else:
        images = torch.zeros(1, 4, 3, 24, 32)
        found = method.guess(images, method.fit(iter([true]), None))
    assert all(torch.isfinite(t).all() for t in (found.extrinsics, found.intrinsics, found.depth))
    assert found.depth.shape == (1, 4, 24, 32)


def test_one_view_has_no_distance_between_cameras():
    found = control("oracle").perturb(scene("one", np.random.default_rng(3), 1), 0)
    assert torch.isfinite(found.extrinsics).all()
