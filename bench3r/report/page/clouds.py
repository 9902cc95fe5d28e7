"""Points and cameras of one scene for the viewer: the ground truth, and what methods predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from scipy.spatial import cKDTree

from bench3r.api.scene import SceneData
from bench3r.metrics.pose import move_trajectory
from bench3r.protocols.missing import NotComputable
from bench3r.protocols.scored import Scored
from bench3r.report.page.encoding import Quantised, packed, quantised

POINTS = 2000  # of a cloud in the viewer


class _Points(TypedDict):
    xyz: Quantised


class MethodCloud(_Points, total=False):
    """What one method predicted, after a similarity to the ground truth."""

    error: Quantised  # distance to the nearest ground-truth point
    cameras: str
    depth: str  # recursion depth of every point, of methods that have it


class SceneCloud(TypedDict):
    """One scene as the viewer reads it; colours are those of the images at the points."""

    ground_truth: _Points
    cameras: str
    rgb: str
    unit: str
    methods: dict[str, MethodCloud]


@dataclass
class Clouds:
    """One scene for the viewer, and the saved predictions of methods by label."""

    scene: SceneData
    predictions: dict[str, dict[str, np.ndarray]]
    patch: int = 8

    def pack(self) -> SceneCloud | None:
        """The scene and every method that could be aligned; None without ground-truth depth."""
        scene = self.scene
        if scene.depth is None or not np.isfinite(scene.c2w).all():
            return None
        w2c = np.linalg.inv(scene.c2w)[:, :3]
        base = Scored(scene, scene.depth, w2c, scene.intrinsics)
        points = base.true_points
        chosen = _Chosen(
            pick=np.random.default_rng(0).permutation(len(points))[:POINTS],
            tree=cKDTree(points),
            size=float(np.linalg.norm(np.ptp(points, axis=0))),
        )
        methods: dict[str, MethodCloud] = {}
        for label, arrays in self.predictions.items():
            try:
                methods[label] = self._method(arrays, chosen)
            except NotComputable:
                continue
        return {
            "ground_truth": {"xyz": quantised(points[chosen.pick])},
            "cameras": packed(pyramids(scene.c2w, chosen.size)),
            "rgb": packed(scene.images[base.valid][chosen.pick], np.uint8),
            "unit": scene.unit,
            "methods": methods,
        }

    def _method(self, arrays: dict[str, np.ndarray], chosen: _Chosen) -> MethodCloud:
        scored = Scored(self.scene, arrays["depth"], arrays["extrinsics"], arrays["intrinsics"])
        points = scored.similarity.apply(scored.predicted_points[chosen.pick])
        c2w = np.linalg.inv(scored.predicted_w2c)
        aligned = move_trajectory(c2w, scored.similarity)
        out: MethodCloud = {
            "xyz": quantised(points),
            "error": quantised(chosen.tree.query(points)[0][:, None]),
            "cameras": packed(pyramids(aligned, chosen.size)),
        }
        if "recursion_depth" in arrays:
            steps = arrays["recursion_depth"].repeat(self.patch, 1).repeat(self.patch, 2)
            rows, columns = scored.valid.shape[1:]
            at_points = steps[:, :rows, :columns][scored.valid][chosen.pick]
            out["depth"] = packed(at_points, np.uint8)
        return out


@dataclass(frozen=True)
class _Chosen:
    """The points of the ground truth that are shown, and what methods are compared with."""

    pick: np.ndarray  # [POINTS] places among all valid pixels
    tree: cKDTree
    size: float  # diagonal of the scene


def pyramids(c2w: np.ndarray, size: float) -> np.ndarray:
    """Line points [N, 3] of a small pyramid per camera of ``c2w`` [S, 4, 4].

    NaN stands between the lines; ``size`` is that of the scene.
    """
    s = 0.03 * size
    corners = np.array([[-s, -s, 1.5 * s], [s, -s, 1.5 * s], [s, s, 1.5 * s], [-s, s, 1.5 * s]])
    apex = np.zeros((1, 3))
    gap = np.full((1, 3), np.nan)
    lines = [corners[[0, 1, 2, 3, 0]], gap]
    for corner in corners:
        lines += [apex, corner[None], gap]
    path = np.concatenate(lines)
    return np.concatenate([path @ pose[:3, :3].T + pose[:3, 3] for pose in c2w])
