"""Depth at the points of a COLMAP model, for scenes without true depth (Mip-NeRF 360).

Agreement with COLMAP, not accuracy. Points that COLMAP saw in at least four images, at a
reprojection error of at most one pixel and under a triangulation angle of at least three degrees;
one median scale a scene. Medians over points. Such points lie on texture, so nothing is said about
flat surfaces or about completeness.
"""

import numpy as np

from bench3r.metrics.depth import median_ratio
from bench3r.protocols.base import COUNTED, Metric, Protocol
from bench3r.protocols.missing import NotApplicable, NotComputable
from bench3r.protocols.scored import Scored

LEAST_POINTS = 20


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene.

    Raises NotApplicable when the dataset has no sparse points, NotComputable when too few are seen.
    """
    found = [scored.sparse_points(i) for i in range(len(scored.scene.frames))]
    if all(points is None for points in found):
        raise NotApplicable("the dataset has no sparse points")
    predicted = [np.zeros(0)]
    true = [np.zeros(0)]
    for view, points in zip(scored.depth, found, strict=True):
        if points is not None and len(points):
            own, target = depth_at(view, points)
            predicted.append(own)
            true.append(target)
    p = np.concatenate(predicted)
    t = np.concatenate(true)
    if len(t) < LEAST_POINTS:
        raise NotComputable(
            f"{len(t)} sparse points lie in the views, at least {LEAST_POINTS} are needed"
        )
    p = np.maximum(p * median_ratio(p, t), 1e-9)
    ratio = np.maximum(p / t, t / p)
    return {
        "absrel_median": float(np.median(np.abs(p - t) / t)),
        "delta_1_03": float((ratio < 1.03).mean()),
        "delta_1_25": float((ratio < 1.25).mean()),
        "points": float(len(t)),
    }


def depth_at(view: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z-depth [M] of ``view`` [H, W] at those of ``points`` [N, 3] inside it, and theirs [M].

    ``points``: x, y in pixels, and z-depth.
    """
    height, width = view.shape
    column = points[:, 0].round().astype(int)
    row = points[:, 1].round().astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return view[row[inside], column[inside]].astype(np.float64), points[inside, 2]


PROTOCOL = Protocol(
    name="sparse_depth",
    label="depth at COLMAP's points",
    version=1,
    metrics=(
        Metric("absrel_median", "ratio", "lower", "AbsRel (median)"),
        Metric("delta_1_03", "share", "higher", "δ<1.03", noise=COUNTED),
        Metric("delta_1_25", "share", "higher", "δ<1.25", noise=COUNTED),
        Metric("points", "points", "", "sparse points", digits=0),
    ),
    score=score,
)
