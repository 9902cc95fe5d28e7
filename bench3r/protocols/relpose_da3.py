"""Relative pose over all pairs of views in Depth-Anything-3's convention: rebased on camera 0, then W_i^-1 W_j.

The rebased matrices are world-to-camera ones, so an error of camera 0 enters every pair and values are lower than in the
other conventions. Never compare them.
"""

from bench3r.protocols import relpose_pi3
from bench3r.protocols.base import Protocol
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene: mean angles over pairs, AUC at 5, 15 and 30 degrees."""
    return relpose_pi3.pair_metrics(scored, "da3")


PROTOCOL = Protocol(
    name="relpose_da3",
    version=1,
    metrics=relpose_pi3.PROTOCOL.metrics,
    score=score,
)
