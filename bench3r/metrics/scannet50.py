"""FastVGGT's ScanNet-50 rules (Shen et al. 2025): scale by bounding boxes, clipped Chamfer sum, frame selection."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench3r.metrics.clouds import cloud_distances, diagonal, voxel_average
from bench3r.metrics.pose import (
    align_trajectory,
    move_trajectory,
    position_errors,
    relative_trajectory_errors,
    rotation_rms,
    with_first_pose,
)

LEAST_CONFIDENCE = 3.0
POINTS, SEED = 100_000, 33
VOXEL, CLIP = 0.05, 0.5  # metres


class BoxChamfer(NamedTuple):
    """Chamfer distance and what it is made of."""

    scale: float
    predicted_voxels: int
    true_voxels: int
    predicted_to_true: float
    true_to_predicted: float

    @property
    def chamfer(self) -> float:
        """The sum, not half of it, of both clipped means: 0 to 1 m."""
        return self.predicted_to_true + self.true_to_predicted


def subsample(count: int, points: int = POINTS, seed: int = SEED) -> np.ndarray:
    """Indices [points] of a random choice among ``count``; numpy's legacy generator, as published."""
    return np.random.RandomState(seed).choice(count, points, replace=False)


def fit_boxes(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    """``predicted`` [N, 3] scaled so that its bounding box has the true diagonal, box centre on box centre; the scale."""
    scale = diagonal(truth) / diagonal(predicted)
    centre, target = ((p.min(0) + p.max(0)) / 2 for p in (predicted, truth))
    return (predicted - centre) * scale + target, scale


def box_chamfer(predicted: np.ndarray, truth: np.ndarray) -> BoxChamfer:
    """Chamfer of ``predicted`` [N, 3], in the world of ``truth`` [M, 3]; metres.

    No rotation and no ICP; outliers set the scale. Raises ValueError for points that are not finite (the released code
    drops single coordinates instead, which shifts all later points) and for empty clouds.
    """
    if (
        not len(predicted)
        or not len(truth)
        or not (np.isfinite(predicted).all() and np.isfinite(truth).all())
    ):
        raise ValueError("bounding boxes need finite points")
    moved, scale = fit_boxes(predicted, truth)
    clouds = [p[subsample(len(p))] if len(p) > POINTS else p for p in (moved, truth)]
    own, true = (voxel_average(c, VOXEL) for c in clouds)
    forward, back, _, _ = cloud_distances(own, true)
    means = (float(np.minimum(n.distance, CLIP).mean()) for n in (forward, back))
    return BoxChamfer(scale, len(own), len(true), *means)


def w2c_trajectory(
    predicted_w2c: np.ndarray, true_w2c: np.ndarray, origin: bool = True
) -> dict[str, float]:
    """ATE, ARE and RPE with world-to-camera matrices [N, 4, 4] taken for poses, as the released script does.

    Positions are therefore no camera centres. ``origin``: after the similarity the first pose is put on the first true
    one, which the asked-for version of evo does too.
    """
    aligned = move_trajectory(predicted_w2c, align_trajectory(predicted_w2c, true_w2c))
    relative = relative_trajectory_errors(aligned, true_w2c)
    aligned = with_first_pose(aligned, true_w2c) if origin else aligned
    ate = float(np.sqrt((position_errors(aligned, true_w2c) ** 2).mean()))
    return {"ate": ate, "are_deg": rotation_rms(aligned, true_w2c), **relative}
