"""Camera trajectory after Sim(3) alignment of the centres: ATE, RPE between consecutive frames (evo's definitions)."""

import numpy as np

from bench3r.metrics.pose import trajectory_errors
from bench3r.protocols.base import Scored

VERSION = 1
METRICS = {"ate": "unit", "rpe_trans": "unit", "rpe_rot_deg": "deg"}


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene; needs at least three views."""
    return trajectory_errors(np.linalg.inv(scored.predicted_w2c), scored.true_c2w)
