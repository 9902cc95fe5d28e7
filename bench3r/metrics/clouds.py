"""Distances between point clouds: accuracy, completeness, normals, Chamfer, F-score. Unsquared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

NORMAL_NEIGHBOURS = 30
CHUNK = 100_000  # points whose neighbours are held at once


@dataclass(frozen=True)
class Nearest:
    """For each of N points the nearest point of another cloud."""

    distance: np.ndarray  # [N]
    index: np.ndarray  # [N] int


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points with their search tree, which is built once, when it is first needed."""

    points: np.ndarray  # [N, 3], not to be changed in place
    workers: int = 1  # threads of a search

    @cached_property
    def tree(self) -> cKDTree:
        """The search tree of the points."""
        return cKDTree(self.points)

    def nearest_to(self, points: np.ndarray) -> Nearest:
        """Its nearest points to ``points`` [M, 3]."""
        distance, index = self.tree.query(points, workers=self.workers)
        return Nearest(distance, index)


@dataclass(frozen=True, eq=False)
class CloudPair:
    """A predicted cloud beside the true one. Distances are computed once, when first needed.

    Raises ValueError for an empty cloud.
    """

    predicted: Cloud
    true: Cloud

    def __post_init__(self) -> None:
        predicted = len(self.predicted.points)
        true = len(self.true.points)
        if not predicted or not true:
            raise ValueError(f"a cloud is empty: {predicted} predicted and {true} true points")

    @cached_property
    def accuracy(self) -> Nearest:
        """For every predicted point the nearest true one."""
        return self.true.nearest_to(self.predicted.points)

    @cached_property
    def completeness(self) -> Nearest:
        """For every true point the nearest predicted one."""
        return self.predicted.nearest_to(self.true.points)


def pair_of(predicted: np.ndarray, true: np.ndarray, workers: int = 1) -> CloudPair:
    """The clouds ``predicted`` [N, 3] and ``true`` [M, 3] with what compares them.

    Raises ValueError for an empty cloud.
    """
    return CloudPair(Cloud(predicted, workers), Cloud(true, workers))


def accuracy_completeness(pair: CloudPair) -> dict[str, float]:
    """Mean and median of both nearest-neighbour distances, and Chamfer as half their mean sum."""
    accuracy = pair.accuracy.distance
    completeness = pair.completeness.distance
    acc_mean = float(accuracy.mean())
    comp_mean = float(completeness.mean())
    return {
        "acc_mean": acc_mean,
        "acc_median": float(np.median(accuracy)),
        "comp_mean": comp_mean,
        "comp_median": float(np.median(completeness)),
        "chamfer": (acc_mean + comp_mean) / 2,
    }


def normals(cloud: Cloud) -> np.ndarray:
    """Unit normals [N, 3] of a cloud of N points, sign arbitrary.

    Each is the smallest eigenvector of the covariance of the 30 nearest points.
    """
    points = cloud.points
    count = min(NORMAL_NEIGHBOURS, len(points))
    out = np.empty_like(points, dtype=np.float64)
    for start in range(0, len(points), CHUNK):
        chunk = slice(start, start + CHUNK)
        _, index = cloud.tree.query(points[chunk], k=count, workers=cloud.workers)
        near = points[index.reshape(-1, count)]  # [C, 30, 3]
        near = near - near.mean(1, keepdims=True)
        covariance = np.einsum("nki,nkj->nij", near, near)
        out[chunk] = np.linalg.eigh(covariance)[1][:, :, 0]
    return out


def normal_consistency(pair: CloudPair) -> dict[str, float]:
    """|cosine| between normals of nearest points, both ways and averaged.

    ``nc1``: predicted -> true; ``nc2``: true -> predicted.
    """
    predicted = normals(pair.predicted)
    true = normals(pair.true)
    first = np.abs((predicted * true[pair.accuracy.index]).sum(1))
    second = np.abs((true * predicted[pair.completeness.index]).sum(1))
    out = {}
    for name, reduce in (("mean", np.mean), ("median", np.median)):
        out[f"nc1_{name}"] = float(reduce(first))
        out[f"nc2_{name}"] = float(reduce(second))
        out[f"nc_{name}"] = (out[f"nc1_{name}"] + out[f"nc2_{name}"]) / 2
    return out


def fscore(pair: CloudPair, threshold: float) -> dict[str, float]:
    """Precision, recall, F-score: shares of points strictly nearer than ``threshold``."""
    return fscore_of(pair.accuracy.distance, pair.completeness.distance, threshold)


def fscore_of(accuracy: np.ndarray, completeness: np.ndarray, threshold: float) -> dict[str, float]:
    """As :func:`fscore`, given the nearest-neighbour distances [N] and [M] both ways."""
    precision = float((accuracy < threshold).mean())
    recall = float((completeness < threshold).mean())
    total = precision + recall
    harmonic_mean = 2 * precision * recall / total if total else 0.0
    return {"precision": precision, "recall": recall, "fscore": harmonic_mean}


def voxel_average(points: np.ndarray, size: float) -> np.ndarray:
    """Mean of the points [N, 3] of every occupied voxel of side ``size``, [M, 3].

    As Open3D: the grid starts half a voxel below the cloud's own minimum.
    Raises ValueError for non-finite points.
    """
    if not np.isfinite(points).all():
        raise ValueError("a cloud with points that are not finite cannot be put into voxels")
    cells = np.floor((points - (points.min(0) - size / 2)) / size).astype(np.int64)
    _, index, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    index = index.reshape(-1)
    sums = [np.bincount(index, points[:, axis]) for axis in range(3)]
    return np.stack(sums, 1) / counts[:, None]


def diagonal(points: np.ndarray) -> float:
    """Diagonal of the axis-aligned bounding box of ``points`` [N, 3]."""
    return float(np.linalg.norm(np.ptp(points, axis=0)))
