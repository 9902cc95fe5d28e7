"""ScanNet-50 as one would score it: Sim(3) and ICP in place of bounding boxes, camera centres, distances to the scan.

Our stated definition. Predicted points of all pixels with true depth, aligned as in ``pi3_pointmap``; both they and the
scanned surface are averaged in voxels of 5 cm. Accuracy is the mean distance to the surface; completeness goes from the
true points of the views, so that what no view saw is not missed; F-score at 5 cm from the same distances. ATE is of camera
centres after Sim(3).
"""

import numpy as np

from bench3r.metrics.clouds import fscore_of, nearest, tree_of, voxel_average
from bench3r.metrics.pose import trajectory_errors
from bench3r.protocols.base import Metric, Protocol
from bench3r.protocols.missing import NotApplicable
from bench3r.protocols.scored import Scored

VOXEL = THRESHOLD = 0.05


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene; needs its scanned surface, in metres."""
    if scored.scene.unit != "m":
        raise NotApplicable("the rules are in metres")
    own, seen, surface = (
        voxel_average(p, VOXEL)
        for p in (scored.aligned_points, scored.true_points, np.asarray(scored.surface))
    )
    acc, comp = nearest(own, tree_of(surface)).distance, nearest(seen, tree_of(own)).distance
    out = {
        "acc": float(acc.mean()),
        "comp": float(comp.mean()),
        "chamfer": float(acc.mean() + comp.mean()) / 2,
        "fscore_5cm": fscore_of(acc, comp, THRESHOLD)["fscore"],
    }
    if len(scored.true_w2c) < 3:
        return out
    return {
        **out,
        "ate": trajectory_errors(np.linalg.inv(scored.predicted_w2c), scored.true_c2w)["ate"],
    }


PROTOCOL = Protocol(
    name="scannet50_sim3",
    version=1,
    metrics=(
        Metric("acc", "m", "lower", "accuracy"),
        Metric("comp", "m", "lower", "completeness"),
        Metric("chamfer", "m", "lower", "CD"),
        Metric("fscore_5cm", "share", "higher", "F@5 cm"),
        Metric("ate", "m", "lower", "ATE"),
    ),
    score=score,
    nan_reason="needs at least 3 views",
)
