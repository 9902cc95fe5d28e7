"""Point-map metrics as in Pi3's evaluation: Umeyama on all valid pixels, ICP, distances, normals.

Chamfer is the half-sum (acc + comp) / 2 of unsquared distances, in the dataset's unit, as VGG-T3
reports it. ``chamfer_norm`` divides by the true median depth, so that scenes of different units can
be averaged.
"""

import numpy as np

from bench3r.metrics.clouds import accuracy_completeness, normal_consistency
from bench3r.protocols.base import CHAMFER, MATCHED, SURFACE, Metric, Protocol
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene."""
    distances = accuracy_completeness(scored.aligned)
    consistency = normal_consistency(scored.aligned)
    return {
        **distances,
        "nc_mean": consistency["nc_mean"],
        "nc_median": consistency["nc_median"],
        "chamfer_norm": distances["chamfer"] / float(np.median(scored.true_depth)),
    }


PROTOCOL = Protocol(
    name="pi3_pointmap",
    label="π³'s point maps",
    version=1,
    metrics=(
        CHAMFER,
        Metric("chamfer_norm", "median depths", "lower", "CD", noise=MATCHED),
        *SURFACE,
    ),
    score=score,
)
