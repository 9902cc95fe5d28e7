"""Relative pose over all pairs of views in Depth-Anything-3's convention.

Rebased on camera 0, then W_i^-1 W_j. The rebased matrices are world-to-camera ones, so an error of
camera 0 enters every pair and values are lower than in the other conventions. Never compare them.
"""

from bench3r.metrics.pose import pair_metrics
from bench3r.protocols.base import Protocol
from bench3r.protocols.relpose_pi3 import METRICS
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene: mean angles over pairs, AUC at 5, 15 and 30 degrees."""
    return pair_metrics(scored.predicted_w2c, scored.true_w2c, "da3")


PROTOCOL = Protocol(
    name="relpose_da3",
    label="relative pose (Depth-Anything-3)",
    version=1,
    metrics=METRICS,
    score=score,
)
