"""Depth error in simple and in complex regions, detail kept, steps at patch borders.

SpatialMoR's Table III, measurable. A patch's complexity is how far the true surface is from a plane
(see ``metrics/patches.py``); the simpler half of a scene's patches is "simple", the other half
"complex". Depths have one median scale per scene. Roughness has no better end: it does not look at
the true surface, whose own roughness the oracle shows, and a prediction below that is too smooth.
"""

import numpy as np

from bench3r.metrics.depth import median_ratio
from bench3r.metrics.patches import border_errors, log_gradients, plane_residual, spread_patches
from bench3r.protocols.base import COUNTED, Metric, Protocol
from bench3r.protocols.missing import NotComputable
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene. Raises NotComputable when no patch has enough valid depth."""
    true = scored.true_maps
    scale = median_ratio(scored.predicted_depth, scored.true_depth)
    predicted = scored.depth.astype(np.float64) * scale
    complexity = plane_residual(true, scored.patch)
    if not np.isfinite(complexity).any():
        raise NotComputable("no patch has enough valid depth")
    is_complex = complexity > np.nanmedian(complexity)
    is_simple = np.isfinite(complexity) & ~is_complex
    size = (true.shape[1], true.shape[2])
    at_simple = spread_patches(is_simple, scored.patch, size) & scored.valid
    at_complex = spread_patches(is_complex, scored.patch, size) & scored.valid
    error = np.abs(predicted - true) / np.where(true > 0, true, 1)
    down, across = border_errors(predicted, true, scored.patch)
    borders = np.concatenate([down.ravel(), across.ravel()])
    roughness = plane_residual(predicted, scored.patch)[is_simple]
    return {
        "absrel_simple": _mean(error[at_simple]),
        "absrel_complex": _mean(error[at_complex]),
        "roughness_simple": float(np.nanmean(roughness)),
        "detail_complex": detail(predicted, true, at_complex),
        "border_error": float(np.nanmean(borders)),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def detail(predicted: np.ndarray, true: np.ndarray, where: np.ndarray) -> float:
    """Share of the true log-depth gradients that the prediction has, in the mask ``where``.

    The slope of its gradients on the true ones. All [S, H, W]; NaN without true gradients.
    """
    both = 0.0
    own = 0.0
    below = where[:, 1:] & where[:, :-1]
    beside = where[:, :, 1:] & where[:, :, :-1]
    steps = zip(log_gradients(predicted), log_gradients(true), (below, beside), strict=True)
    for p, t, inside in steps:
        good = p.valid & t.valid & inside
        both += float((p.step[good] * t.step[good]).sum())
        own += float((t.step[good] ** 2).sum())
    return both / own if own > 0 else float("nan")


PROTOCOL = Protocol(
    name="regions",
    label="simple and complex regions",
    version=1,
    metrics=(
        Metric("absrel_simple", "ratio", "lower", "AbsRel simple"),
        Metric("absrel_complex", "ratio", "lower", "AbsRel complex"),
        Metric("roughness_simple", "ratio", "", "roughness simple"),
        Metric("detail_complex", "share", "higher", "detail complex", noise=COUNTED),
        Metric("border_error", "log depth", "lower", "border error"),
    ),
    score=score,
)
