"""Fidelity: how far a method's output lies from that of its unchanged backbone.

Needs no ground truth, so it speaks on any data (Mip-NeRF 360 has none), and of nothing but
closeness: a method that improves on its backbone is far from it, too. Depth after one median scale;
points after Umeyama on all pixels, in median depths of the backbone's; relative pose as in
``relpose_pi3`` with the backbone's cameras in place of the true ones.
"""

import numpy as np

from bench3r.metrics.alignment import umeyama
from bench3r.metrics.depth import median_ratio
from bench3r.metrics.pose import relative_pose_errors
from bench3r.metrics.projection import homogeneous, unproject
from bench3r.protocols.base import ANGLE, CLOSENESS, DIRECTION, Metric, Protocol
from bench3r.protocols.missing import NotApplicable
from bench3r.protocols.scored import Scored

PIXELS = 20_000  # pixels that are compared, the same in every scene of a size


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene. Raises NotApplicable without a prediction of the backbone."""
    if scored.reference is None:
        raise NotApplicable("the run has no prediction of the unchanged backbone on this scene")
    depth = scored.reference["depth"].astype(np.float64)
    w2c = scored.reference["extrinsics"].astype(np.float64)
    intrinsics = scored.reference["intrinsics"].astype(np.float64)
    own = scored.depth.astype(np.float64).ravel()
    dense = depth.ravel()
    good = (own > 0) & (dense > 0)
    scale = median_ratio(own[good], dense[good])
    error = np.abs(scale * own[good] - dense[good]) / dense[good]
    pick = np.random.default_rng(0).permutation(np.flatnonzero(good))[:PIXELS]
    own_points = scored.predicted_maps.reshape(-1, 3)[pick]
    dense_points = unproject(depth, w2c, intrinsics).reshape(-1, 3)[pick]
    moved = umeyama(own_points, dense_points).apply(own_points)
    distance = np.linalg.norm(moved - dense_points, axis=1)
    out = {
        "depth_absrel": float(error.mean()),
        "points": float(distance.mean()) / float(np.median(dense[good])),
    }
    if len(w2c) < 2:
        return out
    rotation, translation = relative_pose_errors(scored.predicted_w2c, homogeneous(w2c))
    return {**out, "rot_deg": float(rotation.mean()), "trans_deg": float(translation.mean())}


PROTOCOL = Protocol(
    name="fidelity",
    label="distance from the unchanged backbone",
    version=1,
    metrics=(
        Metric("depth_absrel", "ratio", "lower", "depth AbsRel", digits=4, noise=CLOSENESS),
        Metric("points", "median depths", "lower", "points", digits=4, noise=CLOSENESS),
        Metric("rot_deg", "deg", "lower", "rotation", digits=2, noise=ANGLE),
        Metric("trans_deg", "deg", "lower", "translation", digits=2, noise=DIRECTION),
    ),
    score=score,
    nan_reason="needs at least 2 views",
)
