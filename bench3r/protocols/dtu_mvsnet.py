"""DTU's own evaluation, as MVSNet's users run it, against the structured-light scan.

Accuracy, completeness and their mean in millimetres; only observed voxels count, points nearer than
0.2 mm are thinned (in the order of a shuffle of seed 42, as Depth-Anything-3 fixed it), distances
above 20 mm are dropped. Predictions without metric scale are first aligned as in ``pi3_pointmap``;
their points are those of pixels with true depth.
"""

import numpy as np

from bench3r.metrics import dtu
from bench3r.protocols.base import VOXELS, Metric, Protocol
from bench3r.protocols.scored import Scored

SEED = 42


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene; needs the official masks, planes and scans (SampleSet, Points)."""
    points = scored.aligned.predicted.points.copy()
    np.random.default_rng(SEED).shuffle(points, axis=0)
    found = dtu.evaluate(points, scored.surface, scored.observation)
    return {
        "acc": found.acc,
        "comp": found.comp,
        "overall": found.overall,
        "points": float(found.counts["in_obs"]),
    }


PROTOCOL = Protocol(
    name="dtu_mvsnet",
    label="DTU's own evaluation",
    version=1,
    metrics=(
        Metric("acc", "mm", "lower", "accuracy", noise=VOXELS),
        Metric("comp", "mm", "lower", "completeness", noise=VOXELS),
        Metric("overall", "mm", "lower", "overall", noise=VOXELS),
        Metric("points", "points", "", "observed points", digits=0, noise=VOXELS),
    ),
    score=score,
)
