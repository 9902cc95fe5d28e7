"""Lite3R's protocol on BlendedMVS and DTU64: truth in units of max(median depth, largest translation), points as predicted.

``rot_official`` and ``trans_official`` average over all views with the reference, whose error is 0 by construction: with
two views the true error is twice as large, and is what ``rot_deg`` and ``trans`` give. ``fscore_005`` is at 0.05
normalised units, not centimetres. Two simplifications of the released loader are not repeated: it takes the number of
depth planes for the largest depth, and draws two random views (here: the run's frame lists).
"""

import numpy as np

from bench3r.metrics.clouds import cloud_distances, fscore_of
from bench3r.metrics.depth import depth_errors
from bench3r.metrics.normalised import (
    least_squares_scale,
    relative_to_first,
    rotation_errors,
    squared_chamfer,
    translation_errors,
)
from bench3r.metrics.projection import unproject
from bench3r.protocols.base import Metric, Protocol
from bench3r.protocols.missing import NotComputable
from bench3r.protocols.scored import Scored

POINTS = 50_000


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene; those of depth and points are NaN where the dataset has no depth."""
    if len(scored.true_w2c) < 2:
        raise NotComputable("Lite3R's protocol needs at least 2 views")
    truth, predicted = (relative_to_first(w) for w in (scored.true_w2c, scored.predicted_w2c))
    unit = scene_unit(scored, truth)
    truth[:, :3, 3] /= unit
    rotation, translation = rotation_errors(predicted, truth), translation_errors(predicted, truth)
    out = {
        "rot_deg": rotation[1:].mean(),
        "trans": translation[1:].mean(),
        "rot_official": rotation.mean(),
        "trans_official": translation.mean(),
    }
    return {k: float(v) for k, v in {**out, **geometry(scored, predicted, truth, unit)}.items()}


def scene_unit(scored: Scored, truth: np.ndarray) -> float:
    """max(median depth, largest translation from view 0) of the true scene."""
    longest = float(np.linalg.norm(truth[:, :3, 3], axis=1).max())
    if scored.scene.depth is None:
        return longest
    return max(float(np.median(scored.true_depth)), longest)


def geometry(
    scored: Scored, predicted: np.ndarray, truth: np.ndarray, unit: float
) -> dict[str, float]:
    """Depth after a least-squares scale; points as predicted, all pixels, both in camera 0."""
    names = ("chamfer_sq", "fscore_005", "absrel", "delta1")
    if scored.scene.depth is None:
        return dict.fromkeys(names, float("nan"))
    depth, valid = scored.scene.depth.astype(np.float64) / unit, scored.valid
    p, t = scored.predicted_depth, scored.true_depth / unit
    errors = depth_errors(p * least_squares_scale(p, t), t)
    a = unproject(scored.depth.astype(np.float64), predicted[:, :3], scored.intrinsics).reshape(
        -1, 3
    )
    b = unproject(depth, truth[:, :3], scored.scene.intrinsics)[valid]
    rng = np.random.default_rng(0)
    a, b = (x[rng.choice(len(x), POINTS, replace=False)] if len(x) > POINTS else x for x in (a, b))
    forward, back, _, _ = cloud_distances(a, b)
    return {
        "chamfer_sq": squared_chamfer(forward.distance, back.distance),
        "absrel": errors["absrel"],
        "fscore_005": fscore_of(forward.distance, back.distance, 0.05)["fscore"],
        "delta1": errors["delta1"],
    }


PROTOCOL = Protocol(
    name="lite3r",
    version=1,
    metrics=(
        Metric("rot_deg", "deg", "lower", "rotation", digits=2),
        Metric("trans", "normalised units", "lower", "translation"),
        Metric("rot_official", "deg", "lower", "rotation (official)", digits=2),
        Metric("trans_official", "normalised units", "lower", "translation (official)"),
        Metric("chamfer_sq", "normalised units^2", "lower", "CD²"),
        Metric("fscore_005", "share", "higher", "F@.05"),
        Metric("absrel", "ratio", "lower", "AbsRel"),
        Metric("delta1", "share", "higher", "δ<1.25"),
    ),
    score=score,
    nan_reason="not applicable: the dataset has no depth",
)
