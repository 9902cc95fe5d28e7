"""Rigid and similarity alignment of point sets. Pure numpy and scipy, float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench3r.metrics.clouds import Cloud


class Similarity(NamedTuple):
    """x -> scale * rotation @ x + translation."""

    scale: float
    rotation: np.ndarray  # [3, 3]
    translation: np.ndarray  # [3]

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Transform points [..., 3]."""
        return self.scale * points @ self.rotation.T + self.translation


class IcpResult(NamedTuple):
    """Rigid refinement, and the pairs of points that it ended with."""

    transform: np.ndarray  # [4, 4]
    fitness: float  # share of source points with a partner
    inlier_rmse: float  # RMS distance of the pairs
    correspondences: int


class _Pairs(NamedTuple):
    """P pairs of near points, and how good they are."""

    source: np.ndarray  # [P] int
    target: np.ndarray  # [P] int
    fitness: float
    rmse: float


def umeyama(source: np.ndarray, target: np.ndarray, with_scale: bool = True) -> Similarity:
    """Least-squares similarity from ``source`` [N, 3] to ``target`` [N, 3] (Umeyama 1991).

    Never a reflection. Raises ValueError for fewer than three points, non-finite points, or source
    points that all coincide.
    """
    if len(source) < 3:
        raise ValueError(f"alignment needs at least 3 points, got {len(source)}")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("alignment needs finite points")
    source_mean = source.mean(0)
    target_mean = target.mean(0)
    centred = source - source_mean
    variance = (centred**2).sum() / len(source)
    if variance == 0:
        raise ValueError("alignment needs source points that do not all coincide")
    u, d, vt = np.linalg.svd((target - target_mean).T @ centred / len(source))
    handedness = np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0
    sign = np.array([1.0, 1.0, handedness])
    rotation = (u * sign) @ vt
    scale = float((d * sign).sum() / variance) if with_scale else 1.0
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def icp(
    source: np.ndarray,
    target: Cloud,
    max_distance: float,
    iterations: int = 30,
    tolerance: float = 1e-6,
) -> IcpResult:
    """Rigid point-to-point ICP of ``source`` [N, 3] from the identity, with Open3D's stopping rule.

    Pairs are nearest target points closer than ``max_distance``. After every update new pairs are
    found; it stops when both fitness and inlier RMSE changed by less than ``tolerance``, or after
    ``iterations`` updates. Several published numbers come from runs that stop at the limit, so the
    rule is part of the metric.
    """
    transform = np.eye(4)
    moved = source
    found = _pairs(moved, target, max_distance)
    for _ in range(iterations):
        if len(found.source) < 3:
            break
        step = umeyama(moved[found.source], target.points[found.target], with_scale=False)
        update = np.eye(4)
        update[:3, :3] = step.rotation
        update[:3, 3] = step.translation
        transform = update @ transform
        moved = step.apply(moved)
        before = found
        found = _pairs(moved, target, max_distance)
        same_fitness = abs(found.fitness - before.fitness) < tolerance
        if same_fitness and abs(found.rmse - before.rmse) < tolerance:
            break
    return IcpResult(transform, found.fitness, found.rmse, len(found.source))


def _pairs(points: np.ndarray, target: Cloud, max_distance: float) -> _Pairs:
    distance, index = target.tree.query(
        points, distance_upper_bound=max_distance, workers=target.workers
    )
    near = distance < max_distance
    if not near.any():
        return _Pairs(np.empty(0, int), np.empty(0, int), 0.0, 0.0)
    rmse = float(np.sqrt((distance[near] ** 2).mean()))
    return _Pairs(np.flatnonzero(near), index[near], float(near.mean()), rmse)


def move(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a transform [4, 4] to points [..., 3]."""
    return points @ transform[:3, :3].T + transform[:3, 3]
