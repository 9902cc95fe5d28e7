"""F-score at 1 % of the diagonal of the true points' bounding box, after the point-map alignment of ``pi3_pointmap``.

SpatialMoR reports "F1 at 1 %" without saying of what; this is our stated definition.
"""

from bench3r.metrics.clouds import diagonal, fscore
from bench3r.protocols.base import Scored

VERSION = 1
METRICS = {"precision": "share", "recall": "share", "fscore": "share"}
SHARE_OF_DIAGONAL = 0.01


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene."""
    threshold = SHARE_OF_DIAGONAL * diagonal(scored.true_points)
    return fscore(scored.aligned_points, scored.true_points, threshold)
