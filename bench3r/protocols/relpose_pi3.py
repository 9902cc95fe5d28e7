"""Relative pose over all pairs of views in Pi3's convention, W_j W_i^-1.

Rotation and translation-direction errors, AUC. The AUC of a scene pools its own pairs; a dataset
value is the mean over scenes (stated, because pooling changes AUC).
"""

from bench3r.metrics.pose import pair_metrics
from bench3r.protocols.base import ANGLE, COUNTED, DIRECTION, Metric, Protocol
from bench3r.protocols.scored import Scored

METRICS = (
    Metric("rot_deg", "deg", "lower", "rotation", digits=1, noise=ANGLE),
    Metric("trans_deg", "deg", "lower", "translation", digits=1, noise=DIRECTION),
    Metric("auc5", "share", "higher", "AUC@5", noise=COUNTED),
    Metric("auc15", "share", "higher", "AUC@15", noise=COUNTED),
    Metric("auc30", "share", "higher", "AUC@30", noise=COUNTED),
    Metric("rra15", "share", "higher", "RRA@15", noise=COUNTED),
    Metric("rta15", "share", "higher", "RTA@15", noise=COUNTED),
)


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene: mean angles over pairs, AUC at 5, 15 and 30 degrees."""
    return pair_metrics(scored.predicted_w2c, scored.true_w2c, "pi3")


PROTOCOL = Protocol(
    name="relpose_pi3",
    label="relative pose (π³)",
    version=1,
    metrics=METRICS,
    score=score,
)
