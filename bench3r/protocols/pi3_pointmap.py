"""Point-map metrics as in Pi3's evaluation: Umeyama on all valid pixels, ICP, accuracy, completeness, normals.

Chamfer is the half-sum (acc + comp) / 2 of unsquared distances, in the dataset's unit, as VGG-T3 reports it.
``chamfer_norm`` divides by the true median depth, so that scenes of different units can be averaged.
"""

import numpy as np

from bench3r.metrics.clouds import accuracy_completeness, normal_consistency
from bench3r.protocols.base import Scored

VERSION = 1
METRICS = {
    "chamfer": "unit",
    "chamfer_norm": "median depths",
    "acc_mean": "unit",
    "acc_median": "unit",
    "comp_mean": "unit",
    "comp_median": "unit",
    "nc_mean": "cosine",
    "nc_median": "cosine",
}


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene."""
    distances = accuracy_completeness(scored.aligned_points, scored.true_points)
    consistency = normal_consistency(scored.aligned_points, scored.true_points)
    out = {**distances, **{k: consistency[k] for k in ("nc_mean", "nc_median")}}
    return {**out, "chamfer_norm": out["chamfer"] / float(np.median(scored.true_depth))}
