"""Relative pose over all pairs of views in the convention of VGGT's CO3D script: W_i W_j^-1.

Rotation errors equal those of ``relpose_pi3``; translation directions are seen from the other
camera. The script pools pairs per category; here a scene pools its own pairs and a dataset value is
the mean over scenes.
"""

from bench3r.metrics.pose import pair_metrics
from bench3r.protocols.base import Protocol
from bench3r.protocols.relpose_pi3 import METRICS
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene: mean angles over pairs, AUC at 5, 15 and 30 degrees."""
    return pair_metrics(scored.predicted_w2c, scored.true_w2c, "vggt")


PROTOCOL = Protocol(
    name="relpose_vggt",
    label="relative pose (VGGT)",
    version=1,
    metrics=METRICS,
    score=score,
)
