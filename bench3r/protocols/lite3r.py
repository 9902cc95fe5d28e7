"""Lite3R's protocol on BlendedMVS and DTU64: normalised units, points as predicted.

The true scene is in units of max(median depth, largest translation). ``rot_official`` and
``trans_official`` average over all views with the reference, whose error is 0 by construction: with
two views the true error is twice as large, and is what ``rot_deg`` and ``trans`` give.
``fscore_005`` is at 0.05 normalised units, not centimetres. Two simplifications of the released
loader are not repeated: it takes the number of depth planes for the largest depth, and draws two
random views (here: the run's frame lists).
"""

import numpy as np

from bench3r.metrics.clouds import fscore, pair_of
from bench3r.metrics.depth import depth_errors
from bench3r.metrics.normalised import (
    least_squares_scale,
    relative_to_first,
    rotation_errors,
    squared_chamfer,
    translation_errors,
)
from bench3r.metrics.projection import unproject
from bench3r.protocols.base import ANGLE, CLOSENESS, COUNTED, Metric, Protocol
from bench3r.protocols.missing import NotComputable
from bench3r.protocols.scored import Scored

POINTS = 50_000  # that are drawn from larger clouds
THRESHOLD = 0.05  # normalised units


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene; those of depth and points are missing where the dataset has no depth.

    Raises NotComputable for fewer than two views.
    """
    if len(scored.true_w2c) < 2:
        raise NotComputable("Lite3R's protocol needs at least 2 views")
    true = relative_to_first(scored.true_w2c)
    predicted = relative_to_first(scored.predicted_w2c)
    unit = scene_unit(scored, true)
    true[:, :3, 3] /= unit
    rotation = rotation_errors(predicted, true)
    translation = translation_errors(predicted, true)
    out = {
        "rot_deg": float(rotation[1:].mean()),
        "trans": float(translation[1:].mean()),
        "rot_official": float(rotation.mean()),
        "trans_official": float(translation.mean()),
    }
    if scored.scene.depth is None:
        return out
    return {**out, **depth_metrics(scored, unit), **point_metrics(scored, predicted, true, unit)}


def scene_unit(scored: Scored, true: np.ndarray) -> float:
    """max(median depth, largest translation from view 0) of the true scene.

    ``true``: world-to-camera poses [S, 4, 4] relative to view 0.
    """
    longest = float(np.linalg.norm(true[:, :3, 3], axis=1).max())
    if scored.scene.depth is None:
        return longest
    return max(float(np.median(scored.true_depth)), longest)


def depth_metrics(scored: Scored, unit: float) -> dict[str, float]:
    """Depth errors after a least-squares scale."""
    predicted = scored.predicted_depth
    true = scored.true_depth / unit
    errors = depth_errors(predicted * least_squares_scale(predicted, true), true)
    return {"absrel": errors["absrel"], "delta1": errors["delta1"]}


def point_metrics(
    scored: Scored, predicted: np.ndarray, true: np.ndarray, unit: float
) -> dict[str, float]:
    """Points as predicted, all pixels, both in camera 0.

    A prediction that is in the dataset's unit is put into normalised units, as the released loader
    does with all that it reads. ``predicted``, ``true``: world-to-camera poses [S, 4, 4] relative
    to view 0.
    """
    own_poses = predicted.copy()
    own_unit = unit if scored.dataset_unit else 1.0
    own_poses[:, :3, 3] /= own_unit
    own_depth = scored.depth.astype(np.float64) / own_unit
    own_maps = unproject(own_depth, own_poses[:, :3], scored.intrinsics)
    true_maps = unproject(scored.true_maps / unit, true[:, :3], scored.scene.intrinsics)
    rng = np.random.default_rng(0)
    own_points = _drawn(own_maps.reshape(-1, 3), rng)
    true_points = _drawn(true_maps[scored.valid], rng)
    pair = pair_of(own_points, true_points, scored.workers)
    return {
        "chamfer_sq": squared_chamfer(pair.accuracy.distance, pair.completeness.distance),
        "fscore_005": fscore(pair, THRESHOLD)["fscore"],
    }


def _drawn(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At most ``POINTS`` of the points [N, 3]."""
    if len(points) <= POINTS:
        return points
    return points[rng.choice(len(points), POINTS, replace=False)]


PROTOCOL = Protocol(
    name="lite3r",
    label="Lite3R's rules",
    version=1,
    metrics=(
        Metric("rot_deg", "deg", "lower", "rotation", digits=2, noise=ANGLE),
        Metric("trans", "normalised units", "lower", "translation", noise=CLOSENESS),
        Metric("rot_official", "deg", "lower", "rotation (official)", digits=2, noise=ANGLE),
        Metric(
            "trans_official", "normalised units", "lower", "translation (official)", noise=CLOSENESS
        ),
        Metric("chamfer_sq", "normalised units^2", "lower", "CD²"),
        Metric("fscore_005", "share", "higher", "F@.05", noise=COUNTED),
        Metric("absrel", "ratio", "lower", "AbsRel"),
        Metric("delta1", "share", "higher", "δ<1.25", noise=COUNTED),
    ),
    score=score,
    nan_reason="not applicable: the dataset has no depth",
)
