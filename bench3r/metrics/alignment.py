"""Rigid and similarity alignment of point sets. Pure numpy and scipy, float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from bench3r.metrics import clouds
from bench3r.metrics.clouds import tree_of


class Similarity(NamedTuple):
    """x -> scale * rotation @ x + translation."""

    scale: float
    rotation: np.ndarray  # [3, 3]
    translation: np.ndarray  # [3]

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Transform points [..., 3]."""
        return self.scale * points @ self.rotation.T + self.translation


class IcpResult(NamedTuple):
    """Rigid refinement: transform [4, 4], share of source points with a partner, their RMS distance and number."""

    transform: np.ndarray
    fitness: float
    inlier_rmse: float
    correspondences: int


def umeyama(source: np.ndarray, target: np.ndarray, with_scale: bool = True) -> Similarity:
    """Least-squares similarity from ``source`` [N, 3] to ``target`` [N, 3] (Umeyama 1991), never a reflection.

    Raises ValueError for fewer than three points, non-finite points, or source points that all coincide.
    """
    if len(source) < 3:
        raise ValueError(f"alignment needs at least 3 points, got {len(source)}")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("alignment needs finite points")
    mean_s, mean_t = source.mean(0), target.mean(0)
    centred_s, centred_t = source - mean_s, target - mean_t
    variance = (centred_s**2).sum() / len(source)
    if variance == 0:
        raise ValueError("alignment needs source points that do not all coincide")
    u, d, vt = np.linalg.svd(centred_t.T @ centred_s / len(source))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = (u * sign) @ vt
    scale = float((d * sign).sum() / variance) if with_scale else 1.0
    return Similarity(scale, rotation, mean_t - scale * rotation @ mean_s)


def icp(
    source: np.ndarray,
    target: np.ndarray,
    max_distance: float,
    iterations: int = 30,
    tolerance: float = 1e-6,
) -> IcpResult:
    """Point-to-point ICP from the identity, rigid, with Open3D's stopping rule.

    Pairs are nearest target points closer than ``max_distance``. After every update new pairs are found; it stops
    when both fitness and inlier RMSE changed by less than ``tolerance``, or after ``iterations`` updates. Several
    published numbers come from runs that stop at the limit, so the rule is part of the metric.
    """
    tree = tree_of(target)
    transform, moved = np.eye(4), source
    found = _pairs(tree, moved, max_distance)
    for _ in range(iterations):
        rows, columns, fitness, rmse = found
        if not len(rows):
            break
        step = umeyama(moved[rows], target[columns], with_scale=False) if len(rows) >= 3 else None
        if step is None:
            break
        update = np.eye(4)
        update[:3, :3], update[:3, 3] = step.rotation, step.translation
        transform = update @ transform
        moved = step.apply(moved)
        found = _pairs(tree, moved, max_distance)
        if abs(found[2] - fitness) < tolerance and abs(found[3] - rmse) < tolerance:
            break
    rows, _, fitness, rmse = found
    return IcpResult(transform, fitness, rmse, len(rows))


def _pairs(
    tree: cKDTree, points: np.ndarray, max_distance: float
) -> tuple[np.ndarray, np.ndarray, float, float]:
    distance, index = tree.query(points, distance_upper_bound=max_distance, workers=clouds.workers)
    near = distance < max_distance
    if not near.any():
        return np.empty(0, int), np.empty(0, int), 0.0, 0.0
    rmse = float(np.sqrt((distance[near] ** 2).mean()))
    return np.flatnonzero(near), index[near], float(near.mean()), rmse


def move(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a 4x4 transform to points [..., 3]."""
    return points @ transform[:3, :3].T + transform[:3, 3]
