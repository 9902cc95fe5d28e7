"""ScanNet-50 as one would score it: Sim(3) and ICP in place of bounding boxes, camera centres.

Our stated definition. Predicted points of all pixels with true depth, aligned as in
``pi3_pointmap``; both they and the scanned surface are averaged in voxels of 5 cm. Accuracy is the
mean distance to the surface; completeness goes from the true points of the views, so that what no
view saw is not missed; F-score at 5 cm from the same distances. ATE is of camera centres after
Sim(3).
"""

import numpy as np

from bench3r.metrics.clouds import Cloud, fscore_of, voxel_average
from bench3r.metrics.pose import trajectory_errors
from bench3r.protocols.base import MATCHED, VOXELS, Metric, Protocol
from bench3r.protocols.missing import NotApplicable
from bench3r.protocols.scored import Scored

VOXEL = 0.05  # metres
THRESHOLD = 0.05  # metres


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene; needs its scanned surface. Raises NotApplicable unless in metres."""
    if scored.scene.unit != "m":
        raise NotApplicable("the rules are in metres")
    own = Cloud(voxel_average(scored.aligned.predicted.points, VOXEL), scored.workers)
    seen = voxel_average(scored.true_points, VOXEL)
    surface = Cloud(voxel_average(scored.surface, VOXEL), scored.workers)
    accuracy = surface.nearest_to(own.points).distance
    completeness = own.nearest_to(seen).distance
    out = {
        "acc": float(accuracy.mean()),
        "comp": float(completeness.mean()),
        "chamfer": float(accuracy.mean() + completeness.mean()) / 2,
        "fscore_5cm": fscore_of(accuracy, completeness, THRESHOLD)["fscore"],
    }
    if len(scored.true_w2c) < 3:
        return out
    trajectory = trajectory_errors(np.linalg.inv(scored.predicted_w2c), scored.true_c2w)
    return {**out, "ate": trajectory["ate"]}


PROTOCOL = Protocol(
    name="scannet50_sim3",
    label="ScanNet-50 by Sim(3)",
    version=1,
    metrics=(
        Metric("acc", "m", "lower", "accuracy", noise=VOXELS),
        Metric("comp", "m", "lower", "completeness", noise=VOXELS),
        Metric("chamfer", "m", "lower", "CD", noise=VOXELS),
        Metric("fscore_5cm", "share", "higher", "F@5 cm", noise=VOXELS),
        Metric("ate", "m", "lower", "ATE", noise=MATCHED),
    ),
    score=score,
    nan_reason="needs at least 3 views",
)
