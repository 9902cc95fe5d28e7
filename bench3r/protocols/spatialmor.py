"""SpatialMoR's metrics as we define them: the paper states neither units nor alignment.

Nor does it say what F1 takes 1 % of. After ``pi3_pointmap``'s alignment: Chamfer as half the sum of
both mean distances, F1 at 1 % of the diagonal of the true bounding box, depth MSE after one median
scale with depths in units of the true median; camera error as the mean over views of rotation
(degrees) and of centre (true median depths) after Sim(3) alignment of the centres.
"""

import numpy as np

from bench3r.metrics.clouds import accuracy_completeness, diagonal, fscore
from bench3r.metrics.depth import depth_mse
from bench3r.metrics.pose import align_trajectory, move_trajectory, position_errors, rotation_angle
from bench3r.protocols.base import ANGLE, CLOSENESS, COUNTED_POINTS, MATCHED, Metric, Protocol
from bench3r.protocols.scored import Scored

SHARE_OF_DIAGONAL = 0.01


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene; camera errors need three views."""
    unit = float(np.median(scored.true_depth))
    threshold = SHARE_OF_DIAGONAL * diagonal(scored.true_points)
    out = {
        "cd": accuracy_completeness(scored.aligned)["chamfer"] / unit,
        "f1": fscore(scored.aligned, threshold)["fscore"],
        "dmse": depth_mse(scored.predicted_depth, scored.true_depth)["mse_norm"],
    }
    if len(scored.true_w2c) < 3:
        return out
    predicted = np.linalg.inv(scored.predicted_w2c)
    true = scored.true_c2w
    moved = move_trajectory(predicted, align_trajectory(predicted, true))
    rotation = rotation_angle(true[:, :3, :3], moved[:, :3, :3])
    centre = float(position_errors(moved, true).mean()) / unit
    return {**out, "camera_rot_deg": float(rotation.mean()), "camera_centre": centre}


PROTOCOL = Protocol(
    name="spatialmor",
    label="SpatialMoR's metrics as we define them",
    version=1,
    metrics=(
        Metric("cd", "median depths", "lower", "CD", noise=MATCHED),
        Metric("f1", "share", "higher", "F1", noise=COUNTED_POINTS),
        Metric("dmse", "median depths^2", "lower", "dMSE"),
        Metric("camera_rot_deg", "deg", "lower", "camera rotation", digits=2, noise=ANGLE),
        Metric("camera_centre", "median depths", "lower", "camera centre", noise=CLOSENESS),
    ),
    score=score,
    nan_reason="needs at least 3 views",
)
