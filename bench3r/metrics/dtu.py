"""DTU's own evaluation (Jensen et al. 2014; the Python port that MVSNet's users run): observed points, millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

THIN, FARTHEST = (
    0.2,
    20.0,
)  # mm: least distance between points, distance from which points no longer count
BELOW, ABOVE = (
    60.0,
    120.0,
)  # mm by which the box is enlarged; not the same on both sides in the released code
CHUNK = 100_000


@dataclass(frozen=True)
class Observation:
    """What the scanner saw: mask of observed voxels, its box [2, 3] and voxel side in mm, plane of the table [4]."""

    mask: np.ndarray
    box: np.ndarray
    side: float
    plane: np.ndarray


@dataclass(frozen=True)
class DtuScore:
    """Means in mm and how many points they stand on."""

    acc: float
    comp: float
    keep: np.ndarray  # [N] bool, points that thinning left, in the order it saw them
    counts: dict[str, int]

    @property
    def overall(self) -> float:
        """Average of accuracy and completeness."""
        return (self.acc + self.comp) / 2


def thin(points: np.ndarray, distance: float = THIN) -> np.ndarray:
    """Mask [N] of the points left when, in their order, every kept point removes all others within ``distance``."""
    tree, keep = cKDTree(points), np.ones(len(points), bool)
    for start in range(0, len(points), CHUNK):
        near = tree.query_ball_point(points[start : start + CHUNK], distance)
        for offset, neighbours in enumerate(near):
            if keep[start + offset]:
                keep[neighbours] = False
                keep[start + offset] = True
    return keep


def evaluate(points: np.ndarray, surface: np.ndarray, seen: Observation) -> DtuScore:
    """Accuracy and completeness of ``points`` [N, 3] against the scanned ``surface`` [M, 3], in mm.

    Accuracy uses observed points alone; completeness compares with all thinned points in the enlarged box. The order of
    the points matters to the thinning. Raises ValueError when nothing is left to compare.
    """
    keep = thin(points)
    left = points[keep]
    low, high = seen.box[0] - BELOW, seen.box[1] + ABOVE
    inside = left[((left >= low) & (left < high)).all(1)]
    cell = np.around((inside - seen.box[0]) / seen.side).astype(np.int64)
    known = ((cell >= 0) & (cell < np.array(seen.mask.shape))).all(1)
    observed = inside[known][seen.mask[tuple(cell[known].T)].astype(bool)]
    above = surface[np.concatenate([surface, np.ones((len(surface), 1))], 1) @ seen.plane > 0]
    if not len(observed) or not len(above):
        raise ValueError(
            "no predicted point lies in the observed part of the scene, or no surface above the plane"
        )
    accuracy, completeness = cKDTree(surface).query(observed)[0], cKDTree(inside).query(above)[0]
    near, reached = accuracy[accuracy < FARTHEST], completeness[completeness < FARTHEST]
    counts = {
        "down": len(left),
        "in": len(inside),
        "in_obs": len(observed),
        "stl_above": len(above),
        "acc_kept": len(near),
        "comp_kept": len(reached),
    }
    if not len(near) or not len(reached):
        raise ValueError(f"all distances are above {FARTHEST:g} mm")
    return DtuScore(float(near.mean()), float(reached.mean()), keep, counts)
