"""Visual localisation: poses of held-out views relative to the mapped ones.

Held out are the views that the method says it only looked up (``held_out`` of its record), else the
last view of the scene, so that methods that see all views together are scored on the same question.
"""

import numpy as np

from bench3r.metrics.pose import pairs, relative_pose_errors, share_below
from bench3r.protocols.base import ANGLE, COUNTED, DIRECTION, Metric, Protocol
from bench3r.protocols.missing import NotComputable
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Mean errors over pairs of a mapped and a held-out view; share of pairs within 15 degrees.

    Raises NotComputable when all views are held out.
    """
    count = len(scored.true_w2c)
    held = scored.held_out or [count - 1]
    if len(set(held)) >= count:
        raise NotComputable("no view is left to be localised against")
    rotation, translation = relative_pose_errors(scored.predicted_w2c, scored.true_w2c)
    is_held = np.isin(pairs(count), held)  # [P, 2]
    across = is_held[:, 0] != is_held[:, 1]
    worst = np.maximum(rotation, translation)[across]
    return {
        "rot_deg": float(rotation[across].mean()),
        "trans_deg": float(translation[across].mean()),
        "within_15": share_below(worst, 15),
    }


PROTOCOL = Protocol(
    name="localisation",
    label="localisation of held-out views",
    version=1,
    metrics=(
        Metric("rot_deg", "deg", "lower", "rotation", digits=1, noise=ANGLE),
        Metric("trans_deg", "deg", "lower", "translation", digits=1, noise=DIRECTION),
        Metric("within_15", "share", "higher", "within 15°", noise=COUNTED),
    ),
    score=score,
)
