"""Controls bound scores: near the ground truth in any frame and unit, and never NaN."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bench3r.api.dataset import DATASETS, Dataset
from bench3r.api.method import METHODS, BuildContext, Method, conditions_of
from bench3r.api.scene import SceneData
from bench3r.data.load import load_scene
from bench3r.metrics.pose import pose_auc, relative_pose_errors
from bench3r.models.backbones import build_predictor
from bench3r.models.weights import SHIPPED, save_safetensors
from bench3r.protocols import PROTOCOLS
from bench3r.protocols.scored import Scored
from bench3r.stages.train import fit_scenes
from tests.helpers.procedural import write_root


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
    assert np.mean(scores) > 0.95


def test_the_oracles_noise_is_as_large_as_its_options_say():
    rng = np.random.default_rng(4)
    depths = []
    angles = []
    oracle = METHODS.get("oracle")(METHODS.get("oracle").Options(depth_noise=0.05, rotation_deg=3))
    for i in range(40):
        true = scene(f"scene{i}", rng)
        found = oracle.perturb(true, 0)
        depths.append(np.log(found.depth[0].numpy() / 3.0))
        turn = found.extrinsics[0, 1:, :, :3].double().numpy() @ true.c2w[1:, :3, :3]
        angles.append(Rotation.from_matrix(turn).magnitude())
    assert np.std(depths) == pytest.approx(0.05, rel=0.01)
    assert np.degrees(np.sqrt(np.mean(np.square(angles)))) == pytest.approx(3, rel=0.15)
    # no two poses at one angle, which would all lie on one edge of the AUC's bins
    assert np.ptp(np.degrees(angles)) > 1
    steps = np.diff(np.array(depths), axis=-1)
    assert np.std(steps) < 0.02  # smooth: white noise would have 0.07


def test_the_oracle_fills_holes_with_what_is_beside_them():
    true = scene("one", np.random.default_rng(5))
    true.depth[:, :, 16:] = 5.0
    true.depth[:, :4] = 0
    found = control("oracle").perturb(true, 0).depth[0].numpy()
    np.testing.assert_allclose(found[:, 0, :15], 3, rtol=0.05)
    np.testing.assert_allclose(found[:, 0, 17:], 5, rtol=0.05)


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


def predicted(method: Method, true: SceneData, context: BuildContext, dataset: Dataset) -> Scored:
    """What ``method`` predicts of a scene, as it is scored."""
    images = torch.from_numpy(true.images).permute(0, 3, 1, 2)[None].float() / 255
    with torch.inference_mode():
        out = build_predictor(method, context)(images, **conditions_of(method, true))
    return Scored(
        scene=true,
        depth=out.depth[0].numpy(),
        extrinsics=out.extrinsics[0].double().numpy(),
        intrinsics=out.intrinsics[0].double().numpy(),
        dataset=dataset,
        dataset_unit=out.facts.get("dataset_unit") is True,
        patch=8,
    )


@pytest.mark.parametrize("name", ["scannet", "dtu", "mipnerf360"])
def test_the_oracle_bounds_every_score_of_every_protocol(name, tmp_path):
    """Better than a network and than the trivial answer, in every metric with a better end."""
    root = write_root(name, tmp_path / name)
    dataset = DATASETS.get(name)(root)
    place = dataset.scenes()[0]
    true = load_scene(dataset, place, dataset.frames(place), 96, 8)
    trivial = METHODS.get("trivial")()
    fitted = tmp_path / "fitted.safetensors"
    context = BuildContext("none", "tiny", fitted=fitted)
    save_safetensors(fitted, trivial.fit(fit_scenes(3, (72, 96), 3), context))
    shipped = BuildContext("vggt", "tiny", weights=SHIPPED / "vggt-tiny.safetensors")
    oracle = predicted(METHODS.get("oracle")(), true, context, dataset)
    others = [
        predicted(trivial, true, context, dataset),
        predicted(METHODS.get("vggt")(), true, shipped, dataset),
    ]
    seen = set()
    for rule in PROTOCOLS.files():
        protocol = PROTOCOLS.get(rule)
        bounds = protocol.evaluate(oracle).metrics
        for found in (protocol.evaluate(other).metrics for other in others):
            for metric, value in found.items():
                how = protocol.metric(metric)
                if how.better and metric in bounds:
                    sign = 1 if how.better == "higher" else -1
                    above = sign * (bounds[metric] - value)
                    assert above > 0 or how.tied(bounds[metric], value), (rule, metric)
                    seen.add((rule, metric))
    assert {rule for rule, _ in seen} >= {"pi3_pointmap", "regions", "lite3r", "depth_video"}
    assert {("pi3_pointmap", "nc_mean"), ("regions", "border_error")} <= seen
