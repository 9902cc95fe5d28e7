"""Camera trajectory after Sim(3) alignment of the centres: ATE and RPE by evo's definitions.

RPE is between consecutive frames.
"""

import numpy as np

from bench3r.metrics.pose import trajectory_errors
from bench3r.protocols.base import ANGLE, MATCHED, Metric, Protocol
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene; needs at least three views."""
    return trajectory_errors(np.linalg.inv(scored.predicted_w2c), scored.true_c2w)


PROTOCOL = Protocol(
    name="trajectory_evo",
    label="trajectory (evo)",
    version=1,
    metrics=(
        Metric("ate", "unit", "lower", "ATE", noise=MATCHED),
        Metric("rpe_trans", "unit", "lower", "RPE translation", noise=MATCHED),
        Metric("rpe_rot_deg", "deg", "lower", "RPE rotation", digits=2, noise=ANGLE),
    ),
    score=score,
)
