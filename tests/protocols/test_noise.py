"""What rounding alone changes of a metric is less than the noise that it states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import zoom
from scipy.spatial.transform import Rotation

from bench3r.protocols import PROTOCOLS
from bench3r.protocols.base import Metric, Noise
from bench3r.protocols.scored import Scored
from tests.helpers.scored import perfect, written

ROUNDING = 1e-6  # relative: what other threads or batches change of a network's output


def a_prediction(root: Path, case: str, scene: str) -> Scored:
    """A prediction of a scene with smooth errors of some percent and degrees."""
    dataset = written(case, root)
    scored = perfect(dataset, scene, dataset.frames(scene))
    rng = np.random.default_rng(1)
    shape = scored.depth.shape
    smooth = zoom(rng.normal(0, 0.04, (shape[0], 4, 4)), (1, shape[1] / 4, shape[2] / 4), order=1)
    poses = scored.extrinsics.copy()
    poses[:, :, :3] = (
        Rotation.from_rotvec(rng.normal(0, 0.03, (shape[0], 3))).as_matrix() @ (poses[:, :, :3])
    )
    reference = {
        "depth": scored.depth,
        "extrinsics": scored.extrinsics,
        "intrinsics": scored.intrinsics,
    }
    depth_of_patches = rng.integers(1, 4, (shape[0], shape[1] // 8, shape[2] // 8))
    return replace(
        scored,
        depth=scored.depth * np.exp(smooth),
        extrinsics=poses,
        recursion_depth=depth_of_patches,
        reference=reference,
    )


def rounded(scored: Scored, seed: int) -> Scored:
    """The same prediction as another order of sums gives it."""
    rng = np.random.default_rng(seed)
    views = len(scored.depth)
    poses = scored.extrinsics.copy()
    turn = Rotation.from_rotvec(rng.normal(0, ROUNDING, (views, 3))).as_matrix()
    poses[:, :, :3] = turn @ poses[:, :, :3]
    size = np.abs(poses[:, :, 3]).max()
    poses[:, :, 3] += size * rng.normal(0, ROUNDING, (views, 3))
    depth = scored.depth * (1 + rng.normal(0, ROUNDING, scored.depth.shape))
    return replace(scored, depth=depth, extrinsics=poses)


@pytest.mark.parametrize(
    ("case", "scene"), [("scannet", "scene9000_00"), ("dtu evaluation", "scan901")]
)
def test_rounding_changes_no_metric_by_more_than_its_noise(case, scene, tmp_path):
    scored = a_prediction(tmp_path, case, scene)
    scored_again = [rounded(scored, seed) for seed in range(3)]
    seen = 0
    for name in PROTOCOLS.files():
        protocol = PROTOCOLS.get(name)
        before = protocol.evaluate(scored).metrics
        for other in scored_again:
            after = protocol.evaluate(other).metrics
            assert after.keys() == before.keys()
            for metric, value in before.items():
                seen += 1
                noise = protocol.metric(metric).noise.at(value)
                assert abs(after[metric] - value) <= noise, (name, metric, value, after[metric])
    assert seen > 100


def test_the_noise_is_far_below_what_a_metric_can_show():
    for name in PROTOCOLS.files():
        for metric in PROTOCOLS.get(name).metrics:
            assert 0 < metric.noise.at(1.0) <= 0.01, metric


def test_a_difference_within_the_noise_is_a_tie():
    metric = Metric("x", "share", "higher", "x", noise=Noise(1e-3, 1e-2))
    assert metric.noise.at(0.5) == 1e-2
    assert metric.noise.at(-100.0) == pytest.approx(0.1)
    assert metric.tied(0.5, 0.5099)
    assert metric.tied(100.0, 100.05)
    assert not metric.tied(0.5, 0.5101)
