"""DTU's own evaluation: observed points, in millimetres.

Jensen et al. 2014, in the Python port that MVSNet's users run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

THIN = 0.2  # mm, least distance between points
FARTHEST = 20.0  # mm, distance from which points no longer count
BELOW = 60.0  # mm by which the box is enlarged; not the same on both sides in the released code
ABOVE = 120.0
CHUNK = 100_000


@dataclass(frozen=True)
class Observation:
    """What the scanner saw."""

    mask: np.ndarray  # [X, Y, Z], voxels that were observed
    box: np.ndarray  # [2, 3] mm, corners of the voxel grid
    side: float  # of a voxel, mm
    plane: np.ndarray  # [4], the table


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
    """Mask [N] of the ``points`` [N, 3] that are left after thinning.

    In their order, every kept point removes all others within ``distance``.
    """
    tree = cKDTree(points)
    keep = np.ones(len(points), bool)
    for start in range(0, len(points), CHUNK):
        near = tree.query_ball_point(points[start : start + CHUNK], distance)
        for number, neighbours in enumerate(near, start):
            if keep[number]:
                keep[neighbours] = False
                keep[number] = True
    return keep


def evaluate(points: np.ndarray, surface: np.ndarray, seen: Observation) -> DtuScore:
    """Accuracy and completeness of ``points`` [N, 3] against the scan ``surface`` [M, 3], in mm.

    Accuracy uses observed points alone; completeness compares with all thinned points in the
    enlarged box. The order of the points matters to the thinning. Raises ValueError when nothing is
    left to compare.
    """
    keep = thin(points)
    thinned = points[keep]
    inside = _in_box(thinned, seen)
    observed = _observed(inside, seen)
    above = _above_plane(surface, seen)
    if not len(observed) or not len(above):
        raise ValueError(
            "no predicted point lies in the observed part of the scene, "
            "or no surface above the plane"
        )
    accuracy = cKDTree(surface).query(observed)[0]
    completeness = cKDTree(inside).query(above)[0]
    near = accuracy[accuracy < FARTHEST]
    reached = completeness[completeness < FARTHEST]
    if not len(near) or not len(reached):
        raise ValueError(f"all distances are above {FARTHEST:g} mm")
    counts = {
        "down": len(thinned),
        "in": len(inside),
        "in_obs": len(observed),
        "stl_above": len(above),
        "acc_kept": len(near),
        "comp_kept": len(reached),
    }
    return DtuScore(float(near.mean()), float(reached.mean()), keep, counts)


def _in_box(points: np.ndarray, seen: Observation) -> np.ndarray:
    """The points [N, 3] inside the enlarged box."""
    low = seen.box[0] - BELOW
    high = seen.box[1] + ABOVE
    return points[((points >= low) & (points < high)).all(1)]


def _observed(points: np.ndarray, seen: Observation) -> np.ndarray:
    """The points [N, 3] in voxels that the scanner observed."""
    cell = np.around((points - seen.box[0]) / seen.side).astype(np.int64)
    known = ((cell >= 0) & (cell < np.array(seen.mask.shape))).all(1)
    return points[known][seen.mask[tuple(cell[known].T)].astype(bool)]


def _above_plane(surface: np.ndarray, seen: Observation) -> np.ndarray:
    """The points [M, 3] of the surface above the table."""
    extended = np.concatenate([surface, np.ones((len(surface), 1))], 1)
    return surface[extended @ seen.plane > 0]
