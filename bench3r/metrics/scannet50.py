"""FastVGGT's ScanNet-50 rules: scale by bounding boxes, clipped Chamfer sum.

Shen et al. 2025.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench3r.metrics.clouds import diagonal, pair_of, voxel_average
from bench3r.metrics.pose import (
    align_trajectory,
    move_trajectory,
    position_errors,
    relative_trajectory_errors,
    rotation_rms,
    with_first_pose,
)

LEAST_CONFIDENCE = 3.0
POINTS = 100_000  # that are drawn from larger clouds
SEED = 33
VOXEL = 0.05  # metres
CLIP = 0.5  # metres


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
    """Indices [points] drawn from ``count``, by numpy's legacy generator, as published."""
    return np.random.RandomState(seed).choice(count, points, replace=False)


def fit_boxes(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, float]:
    """``predicted`` [N, 3] put into the bounding box of ``true`` [M, 3], and the scale.

    The box gets the true diagonal and the true centre.
    """
    scale = diagonal(true) / diagonal(predicted)
    centre = (predicted.min(0) + predicted.max(0)) / 2
    target = (true.min(0) + true.max(0)) / 2
    return (predicted - centre) * scale + target, scale


def box_chamfer(predicted: np.ndarray, true: np.ndarray, workers: int = 1) -> BoxChamfer:
    """Chamfer of ``predicted`` [N, 3], in the world of ``true`` [M, 3]; metres.

    No rotation and no ICP; outliers set the scale. ``workers``: threads of the search. Raises
    ValueError for points that are not finite (the released code drops single coordinates instead,
    which shifts all later points) and for empty clouds.
    """
    some = len(predicted) and len(true)
    if not some or not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        raise ValueError("bounding boxes need finite points")
    moved, scale = fit_boxes(predicted, true)
    pair = pair_of(_thinned(moved), _thinned(true), workers)
    return BoxChamfer(
        scale=scale,
        predicted_voxels=len(pair.predicted.points),
        true_voxels=len(pair.true.points),
        predicted_to_true=float(np.minimum(pair.accuracy.distance, CLIP).mean()),
        true_to_predicted=float(np.minimum(pair.completeness.distance, CLIP).mean()),
    )


def _thinned(points: np.ndarray) -> np.ndarray:
    """At most ``POINTS`` of the points [N, 3], averaged in voxels."""
    drawn = points[subsample(len(points))] if len(points) > POINTS else points
    return voxel_average(drawn, VOXEL)


def w2c_trajectory(
    predicted_w2c: np.ndarray, true_w2c: np.ndarray, origin: bool = True
) -> dict[str, float]:
    """ATE, ARE and RPE with world-to-camera matrices [N, 4, 4] taken for poses, as released.

    Positions are therefore no camera centres. ``origin``: after the similarity the first pose is
    put on the first true one, which the asked-for version of evo does too. Raises ValueError as
    :func:`bench3r.metrics.alignment.umeyama`.
    """
    aligned = move_trajectory(predicted_w2c, align_trajectory(predicted_w2c, true_w2c))
    relative = relative_trajectory_errors(aligned, true_w2c)
    if origin:
        aligned = with_first_pose(aligned, true_w2c)
    ate = float(np.sqrt((position_errors(aligned, true_w2c) ** 2).mean()))
    return {"ate": ate, "are_deg": rotation_rms(aligned, true_w2c), **relative}
