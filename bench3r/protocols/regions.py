"""Depth error in simple and in complex regions, detail kept, steps at patch borders: SpatialMoR's Table III, measurable.

A patch's complexity is how far the true surface is from a plane (see ``metrics/patches.py``); the simpler half of a
scene's patches is "simple", the other half "complex". Depths have one median scale per scene.
"""

import numpy as np

from bench3r.metrics.depth import median_ratio
from bench3r.metrics.patches import border_errors, log_gradients, plane_residual, spread_patches
from bench3r.protocols.base import Metric, Protocol
from bench3r.protocols.missing import NotComputable
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene."""
    assert scored.valid.any()
    truth = np.asarray(scored.scene.depth, np.float64)
    predicted = scored.depth.astype(np.float64) * median_ratio(
        scored.predicted_depth, scored.true_depth
    )
    complexity = plane_residual(truth, scored.patch)
    if not np.isfinite(complexity).any():
        raise NotComputable("no patch has enough valid depth")
    complex_ = complexity > np.nanmedian(complexity)
    simple = np.isfinite(complexity) & ~complex_
    size = (truth.shape[1], truth.shape[2])
    at_simple, at_complex = (
        spread_patches(m, scored.patch, size) & scored.valid for m in (simple, complex_)
    )
    error = np.abs(predicted - truth) / np.where(truth > 0, truth, 1)
    borders = np.concatenate([b.ravel() for b in border_errors(predicted, truth, scored.patch)])
    return {
        "absrel_simple": float(error[at_simple].mean()) if at_simple.any() else float("nan"),
        "absrel_complex": float(error[at_complex].mean()) if at_complex.any() else float("nan"),
        "roughness_simple": float(np.nanmean(plane_residual(predicted, scored.patch)[simple])),
        "detail_complex": detail(predicted, truth, at_complex),
        "border_error": float(np.nanmean(borders)),
    }


def detail(predicted: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    """Share of the true log-depth gradients that the prediction has: slope of its gradients on the true ones."""
    both, own = 0.0, 0.0
    for (p, p_ok), (t, t_ok), axis in zip(
        log_gradients(predicted), log_gradients(truth), (1, 2), strict=True
    ):
        inside = where.take(range(1, where.shape[axis]), axis) & where.take(
            range(where.shape[axis] - 1), axis
        )
        good = p_ok & t_ok & inside
        both += float((p[good] * t[good]).sum())
        own += float((t[good] ** 2).sum())
    return both / own if own > 0 else float("nan")


PROTOCOL = Protocol(
    name="regions",
    version=1,
    metrics=(
        Metric("absrel_simple", "ratio", "lower", "AbsRel simple"),
        Metric("absrel_complex", "ratio", "lower", "AbsRel complex"),
        Metric("roughness_simple", "ratio", "lower", "roughness simple"),
        Metric("detail_complex", "share", "higher", "detail complex"),
        Metric("border_error", "log depth", "lower", "border error"),
    ),
    score=score,
)
