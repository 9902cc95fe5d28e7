"""Relative pose over all pairs of views in the convention of VGGT's CO3D script: W_i W_j^-1.

Rotation errors equal those of ``relpose_pi3``; translation directions are seen from the other camera. The script pools
pairs per category; here a scene pools its own pairs and a dataset value is the mean over scenes.
"""

from bench3r.protocols import relpose_pi3
from bench3r.protocols.base import Protocol
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene: mean angles over pairs, AUC at 5, 15 and 30 degrees."""
    return relpose_pi3.pair_metrics(scored, "vggt")


PROTOCOL = Protocol(
    name="relpose_vggt",
    version=1,
    metrics=relpose_pi3.PROTOCOL.metrics,
    score=score,
)
