"""F-score at 1 % of the diagonal of the true points' bounding box, aligned as in ``pi3_pointmap``.

SpatialMoR reports "F1 at 1 %" without saying of what; this is our stated definition.
"""

from bench3r.metrics.clouds import diagonal, fscore
from bench3r.protocols.base import COUNTED_POINTS, Metric, Protocol
from bench3r.protocols.scored import Scored

SHARE_OF_DIAGONAL = 0.01


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene."""
    threshold = SHARE_OF_DIAGONAL * diagonal(scored.true_points)
    return fscore(scored.aligned, threshold)


PROTOCOL = Protocol(
    name="fscore",
    label="F-score at 1 % of the diagonal",
    version=1,
    metrics=(
        Metric("precision", "share", "higher", "precision", noise=COUNTED_POINTS),
        Metric("recall", "share", "higher", "recall", noise=COUNTED_POINTS),
        Metric("fscore", "share", "higher", "F1", noise=COUNTED_POINTS),
    ),
    score=score,
)
