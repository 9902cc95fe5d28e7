"""Fidelity: how far a method's output lies from that of its unchanged backbone on the same images.

Needs no truth, so it speaks on any data (Mip-NeRF 360 has none), and of nothing but closeness: a method that improves on its
backbone is far from it, too. Depth after one median scale; points after Umeyama on all pixels, in median depths of the
backbone's; relative pose as in ``relpose_pi3`` with the backbone's cameras for the truth.
"""

import numpy as np

from bench3r.metrics.alignment import umeyama
from bench3r.metrics.depth import median_ratio
from bench3r.metrics.pose import relative_pose_errors
from bench3r.metrics.projection import unproject
from bench3r.protocols.base import Metric, Protocol
from bench3r.protocols.missing import NotApplicable
from bench3r.protocols.scored import Scored

PIXELS = 20_000  # pixels that are compared, the same in every scene of a size


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene."""
    if scored.reference is None:
        raise NotApplicable("the run has no prediction of the unchanged backbone on this scene")
    depth, w2c, k = (
        scored.reference[n].astype(np.float64) for n in ("depth", "extrinsics", "intrinsics")
    )
    p, q = scored.depth.astype(np.float64).ravel(), depth.ravel()
    good = (p > 0) & (q > 0)
    scale, unit = median_ratio(p[good], q[good]), float(np.median(q[good]))
    own = unproject(scored.depth.astype(np.float64), scored.extrinsics, scored.intrinsics).reshape(
        -1, 3
    )
    dense = unproject(depth, w2c, k).reshape(-1, 3)
    pick = np.random.default_rng(0).permutation(np.flatnonzero(good))[:PIXELS]
    moved = umeyama(own[pick], dense[pick]).apply(own[pick])
    out = {
        "depth_absrel": float((np.abs(scale * p[good] - q[good]) / q[good]).mean()),
        "points": float(np.linalg.norm(moved - dense[pick], axis=1).mean()) / unit,
    }
    if len(w2c) < 2:
        return out
    bottom = np.broadcast_to([0.0, 0, 0, 1], (len(w2c), 1, 4))
    rotation, translation = relative_pose_errors(
        scored.predicted_w2c, np.concatenate([w2c, bottom], 1), "pi3"
    )
    return {**out, "rot_deg": float(rotation.mean()), "trans_deg": float(translation.mean())}


PROTOCOL = Protocol(
    name="fidelity",
    version=1,
    metrics=(
        Metric("depth_absrel", "ratio", "lower", "depth AbsRel", digits=4),
        Metric("points", "median depths", "lower", "points", digits=4),
        Metric("rot_deg", "deg", "lower", "rotation", digits=2),
        Metric("trans_deg", "deg", "lower", "translation", digits=2),
    ),
    score=score,
    nan_reason="needs at least 2 views",
)
