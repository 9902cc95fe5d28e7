"""FastVGGT's ScanNet-50 rules, bit for bit, for comparison with its tables alone.

Points of confidence 3 and more go to the world of the true first posed frame; bounding boxes set scale and position, so
an outlier can decide everything; Chamfer is the SUM of both means, clipped at 0.5 m. Its trajectory takes
world-to-camera matrices for poses and puts the first pose on the first true one, so ATE speaks of no camera centres.
"""

import numpy as np

from bench3r.metrics import scannet50
from bench3r.metrics.alignment import move
from bench3r.protocols.base import NotApplicable, NotComputable, Scored, unproject

VERSION = 1
NAN_REASON = "needs at least 3 views"
METRICS = {
    "chamfer_sum": "m",
    "bbox_scale": "ratio",
    "ate": "unit of w2c",
    "are_deg": "deg",
    "rpe_trans": "unit of w2c",
    "rpe_rot_deg": "deg",
}


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene; needs its scanned surface, in metres, and three views."""
    if scored.scene.unit != "m":
        raise NotApplicable("the rules are in metres")
    if scored.depth_conf is None:
        raise NotComputable("the prediction holds no confidence (keep.depth_conf)")
    sure = scored.depth_conf >= scannet50.LEAST_CONFIDENCE
    if not sure.any():
        raise NotComputable(
            f"no point has a confidence of {scannet50.LEAST_CONFIDENCE:g}, as the rules ask"
        )
    first = scored.first_pose
    local = unproject(scored.depth.astype(np.float64), scored.extrinsics, scored.intrinsics)[sure]
    found = scannet50.box_chamfer(move(first, local), scored.surface)
    out = {"chamfer_sum": found.chamfer, "bbox_scale": found.scale}
    if len(scored.true_w2c) < 3:
        return out
    return {**out, **scannet50.w2c_trajectory(scored.predicted_w2c, scored.true_w2c @ first)}
