"""FastVGGT's ScanNet-50 rules, bit for bit, for comparison with its tables alone.

Points of confidence 3 and more go to the world of the true first posed frame; bounding boxes set
scale and position, so an outlier can decide everything; Chamfer is the SUM of both means, clipped
at 0.5 m. Its trajectory takes world-to-camera matrices for poses and puts the first pose on the
first true one, so ATE speaks of no camera centres.
"""

from bench3r.metrics import scannet50
from bench3r.metrics.alignment import move
from bench3r.protocols.base import ANGLE, MATCHED, Metric, Protocol
from bench3r.protocols.missing import NotApplicable, NotComputable
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene; needs its scanned surface, in metres, and three views.

    Raises NotApplicable for other units, NotComputable without (enough) confidence.
    """
    if scored.scene.unit != "m":
        raise NotApplicable("the rules are in metres")
    if scored.depth_conf is None:
        raise NotComputable("the prediction holds no confidence (keep.depth_conf)")
    sure = scored.depth_conf >= scannet50.LEAST_CONFIDENCE
    if not sure.any():
        least = f"{scannet50.LEAST_CONFIDENCE:g}"
        raise NotComputable(f"no point has a confidence of {least}, as the rules ask")
    first = scored.first_pose
    points = move(first, scored.predicted_maps[sure])
    found = scannet50.box_chamfer(points, scored.surface, scored.workers)
    out = {"chamfer_sum": found.chamfer, "bbox_scale": found.scale}
    if len(scored.true_w2c) < 3:
        return out
    return {**out, **scannet50.w2c_trajectory(scored.predicted_w2c, scored.true_w2c @ first)}


PROTOCOL = Protocol(
    name="scannet50_fastvggt",
    label="ScanNet-50 (FastVGGT)",
    version=1,
    metrics=(
        Metric("chamfer_sum", "m", "lower", "CD (sum)", noise=MATCHED),
        Metric("bbox_scale", "ratio", "", "scale of boxes"),
        Metric("ate", "unit of w2c", "lower", "ATE", noise=MATCHED),
        Metric("are_deg", "deg", "lower", "ARE", digits=2, noise=ANGLE),
        Metric("rpe_trans", "unit of w2c", "lower", "RPE translation", noise=MATCHED),
        Metric("rpe_rot_deg", "deg", "lower", "RPE rotation", digits=2, noise=ANGLE),
    ),
    score=score,
    nan_reason="needs at least 3 views",
)
