"""Relative pose over all pairs of views, Pi3's convention: rotation and translation-direction errors, AUC.

AUC of a scene pools its own pairs; a dataset value is the mean over scenes (stated, because pooling changes AUC).
"""

import numpy as np

from bench3r.metrics.pose import pose_auc, relative_pose_errors, share_below
from bench3r.protocols.base import Metric, Protocol
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene: mean angles over pairs, AUC at 5, 15 and 30 degrees."""
    return pair_metrics(scored, "pi3")


def pair_metrics(scored: Scored, convention: str) -> dict[str, float]:
    """The same in any convention of :func:`bench3r.metrics.pose.relative_pose_errors`."""
    rotation, translation = relative_pose_errors(scored.predicted_w2c, scored.true_w2c, convention)
    out = {"rot_deg": float(np.mean(rotation)), "trans_deg": float(np.mean(translation))}
    out |= {f"auc{t}": pose_auc(rotation, translation, t) for t in (5, 15, 30)}
    return {**out, "rra15": share_below(rotation, 15), "rta15": share_below(translation, 15)}


PROTOCOL = Protocol(
    name="relpose_pi3",
    version=1,
    metrics=(
        Metric("rot_deg", "deg", "lower", "rotation", digits=1),
        Metric("trans_deg", "deg", "lower", "translation", digits=1),
        Metric("auc5", "share", "higher", "AUC@5"),
        Metric("auc15", "share", "higher", "AUC@15"),
        Metric("auc30", "share", "higher", "AUC@30"),
        Metric("rra15", "share", "higher", "RRA@15"),
        Metric("rta15", "share", "higher", "RTA@15"),
    ),
    score=score,
)
