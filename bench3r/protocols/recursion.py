"""Where recursion depth was spent, for recursive methods.

Seams, correlation with complexity, agreement between views. ``seam_index`` compares the z-depth
step error at borders between patches of different recursion depth with that at borders between
patches of equal recursion depth: 1 means that nothing shows. ``agreement`` is the share of
corresponding patches of different views with the same recursion depth; ``agreement_chance`` is what
independent draws would give.
"""

import numpy as np

from bench3r.metrics.depth import median_ratio
from bench3r.metrics.patches import (
    Views,
    border_errors,
    corresponding_patches,
    plane_residual,
    rank_correlation,
    texture,
)
from bench3r.protocols.base import COUNTED, Metric, Protocol
from bench3r.protocols.missing import NotApplicable
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene; some are missing where all patches have the same recursion depth.

    Raises NotApplicable for methods without recursion depth.
    """
    recursion_depth = scored.recursion_depth
    if recursion_depth is None:
        raise NotApplicable("the method has no recursion depth")
    geometry = plane_residual(scored.true_maps, scored.patch)
    seen = texture(scored.scene.images, scored.patch)
    out = {
        "mean_depth": float(recursion_depth.mean()),
        "corr_geometry": rank_correlation(recursion_depth, geometry),
        "corr_texture": rank_correlation(recursion_depth, seen),
        "seam_index": seam_index(scored, recursion_depth),
    }
    views = Views(scored.true_maps, scored.true_c2w, scored.scene.intrinsics)
    pairs = corresponding_patches(views, scored.patch)
    if len(pairs):
        both = recursion_depth.ravel()[pairs]  # [N, 2]
        shares = np.bincount(both.ravel()) / both.size
        out["agreement"] = float((both[:, 0] == both[:, 1]).mean())
        out["agreement_chance"] = float((shares**2).sum())
    return out


def seam_index(scored: Scored, recursion_depth: np.ndarray) -> float:
    """Mean border error where ``recursion_depth`` [S, h, w] changes over the mean elsewhere.

    NaN where it changes nowhere or everywhere.
    """
    scale = median_ratio(scored.predicted_depth, scored.true_depth)
    predicted = scored.depth.astype(np.float64) * scale
    vertical, horizontal = border_errors(predicted, scored.true_maps, scored.patch)
    errors = np.concatenate([vertical.ravel(), horizontal.ravel()])
    down = np.diff(recursion_depth, axis=1) != 0
    across = np.diff(recursion_depth, axis=2) != 0
    changes = np.concatenate([down.ravel(), across.ravel()])
    good = np.isfinite(errors)
    at = errors[good & changes]
    off = errors[good & ~changes]
    if not len(at) or not len(off) or not off.mean() > 0:
        return float("nan")
    return float(at.mean() / off.mean())


PROTOCOL = Protocol(
    name="recursion",
    label="recursion depth",
    version=1,
    metrics=(
        Metric("seam_index", "ratio", "lower", "seam index", digits=2),
        Metric(
            "corr_geometry",
            "rank correlation",
            "",
            "ρ(recursion, geometry)",
            digits=2,
            noise=COUNTED,
        ),
        Metric(
            "corr_texture", "rank correlation", "", "ρ(recursion, texture)", digits=2, noise=COUNTED
        ),
        Metric("agreement", "share", "", "agreement of views", digits=2, noise=COUNTED),
        Metric("agreement_chance", "share", "", "agreement by chance", digits=2, noise=COUNTED),
        Metric("mean_depth", "recursions", "", "mean recursion depth", digits=2),
    ),
    score=score,
    nan_reason="not applicable: needs patches of different depth, or views that see the same",
)
