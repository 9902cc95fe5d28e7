"""Distances between point clouds: accuracy, completeness, normal consistency, Chamfer, F-score. Unsquared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

NORMAL_NEIGHBOURS = 30
workers = 1  # threads of a search; the score stage sets it
KEPT = 8  # results that are kept for the clouds of a scene
_kept: dict[tuple[int, ...], tuple[tuple[np.ndarray, ...], Any]] = {}


def _once(arrays: tuple[np.ndarray, ...], make: Any) -> Any:
    """``make()``, computed once for these very ``arrays``, which must not be changed in place; the oldest are forgotten."""
    key = tuple(map(id, arrays))
    if key not in _kept:
        while len(_kept) >= KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = arrays, make()  # the arrays are held, so their ids stay theirs
    return _kept[key][1]


def forget() -> None:
    """Let go of the clouds of a scene."""
    _kept.clear()


def tree_of(points: np.ndarray) -> cKDTree:
    """The search tree of ``points`` [N, 3], built once per cloud; all protocols of a scene share it."""
    return _once((points,), lambda: cKDTree(points))


@dataclass(frozen=True)
class Nearest:
    """For every point of one cloud its nearest point of the other."""

    distance: np.ndarray
    index: np.ndarray


def nearest(points: np.ndarray, tree: cKDTree) -> Nearest:
    """Nearest tree points of ``points`` [N, 3]."""
    distance, index = tree.query(points, workers=workers)
    return Nearest(distance, index)


def normals(points: np.ndarray, tree: cKDTree | None = None, chunk: int = 100_000) -> np.ndarray:
    """Unit normals [N, 3] (sign arbitrary): smallest eigenvector of the covariance of the 30 nearest points."""
    tree = tree or tree_of(points)
    k = min(NORMAL_NEIGHBOURS, len(points))
    out = np.empty_like(points, dtype=np.float64)
    for start in range(0, len(points), chunk):
        _, index = tree.query(points[start : start + chunk], k=k, workers=workers)
        patch = points[index.reshape(-1, k)]
        patch = patch - patch.mean(1, keepdims=True)
        covariance = np.einsum("nki,nkj->nij", patch, patch)
        out[start : start + chunk] = np.linalg.eigh(covariance)[1][:, :, 0]
    return out


def cloud_distances(
    predicted: np.ndarray, truth: np.ndarray
) -> tuple[Nearest, Nearest, cKDTree, cKDTree]:
    """Nearest neighbours predicted -> truth (accuracy) and truth -> predicted (completeness), with the trees.

    Raises ValueError for an empty cloud.
    """
    if not len(predicted) or not len(truth):
        raise ValueError(
            f"a cloud is empty: {len(predicted)} predicted and {len(truth)} true points"
        )
    predicted_tree, truth_tree = tree_of(predicted), tree_of(truth)
    forward, back = _once(
        (predicted, truth), lambda: (nearest(predicted, truth_tree), nearest(truth, predicted_tree))
    )
    return forward, back, predicted_tree, truth_tree


def accuracy_completeness(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean and median of both nearest-neighbour distances, and Chamfer as half their mean sum."""
    acc, comp, _, _ = cloud_distances(predicted, truth)
    out = {
        "acc_mean": float(acc.distance.mean()),
        "acc_median": float(np.median(acc.distance)),
        "comp_mean": float(comp.distance.mean()),
        "comp_median": float(np.median(comp.distance)),
    }
    return {**out, "chamfer": (out["acc_mean"] + out["comp_mean"]) / 2}


def normal_consistency(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """|cosine| between normals of nearest points, both ways (nc1: predicted -> truth) and averaged."""
    acc, comp, predicted_tree, truth_tree = cloud_distances(predicted, truth)
    n_predicted, n_truth = normals(predicted, predicted_tree), normals(truth, truth_tree)
    first = np.abs((n_predicted * n_truth[acc.index]).sum(1))
    second = np.abs((n_truth * n_predicted[comp.index]).sum(1))
    out = {}
    for name, reduce in (("mean", np.mean), ("median", np.median)):
        out[f"nc1_{name}"], out[f"nc2_{name}"] = float(reduce(first)), float(reduce(second))
        out[f"nc_{name}"] = (out[f"nc1_{name}"] + out[f"nc2_{name}"]) / 2
    return out


def fscore(predicted: np.ndarray, truth: np.ndarray, threshold: float) -> dict[str, float]:
    """Precision, recall and F-score: shares of points strictly nearer than ``threshold`` to the other cloud."""
    acc, comp, _, _ = cloud_distances(predicted, truth)
    return fscore_of(acc.distance, comp.distance, threshold)


def fscore_of(accuracy: np.ndarray, completeness: np.ndarray, threshold: float) -> dict[str, float]:
    """As :func:`fscore`, given the nearest-neighbour distances [N] and [M] both ways."""
    precision, recall = (
        float((accuracy < threshold).mean()),
        float((completeness < threshold).mean()),
    )
    total = precision + recall
    return {
        "precision": precision,
        "recall": recall,
        "fscore": 2 * precision * recall / total if total else 0.0,
    }


def voxel_average(points: np.ndarray, size: float) -> np.ndarray:
    """Mean of the points [N, 3] of every occupied voxel of side ``size``, [M, 3].

    As Open3D: the grid starts half a voxel below the cloud's own minimum. Raises ValueError for non-finite points.
    """
    if not np.isfinite(points).all():
        raise ValueError("a cloud with points that are not finite cannot be put into voxels")
    cells = np.floor((points - (points.min(0) - size / 2)) / size).astype(np.int64)
    _, index, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    index = index.reshape(-1)
    return np.stack([np.bincount(index, points[:, c]) for c in range(3)], 1) / counts[:, None]


def diagonal(points: np.ndarray) -> float:
    """Diagonal of the axis-aligned bounding box."""
    return float(np.linalg.norm(np.ptp(points, axis=0)))
