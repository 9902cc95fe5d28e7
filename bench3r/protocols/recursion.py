"""Where recursion depth was spent: seams, correlation with complexity, agreement between views. For recursive methods.

``seam_index`` compares the depth-step error at borders between patches of different recursion depth with that at borders
between patches of equal depth: 1 means that nothing shows. ``agreement`` is the share of corresponding patches of
different views with the same recursion depth; ``agreement_chance`` is what independent draws would give.
"""

import numpy as np

from bench3r.metrics.depth import median_ratio
from bench3r.metrics.patches import (
    border_errors,
    corresponding_patches,
    plane_residual,
    rank_correlation,
    texture,
)
from bench3r.protocols.base import Metric, Protocol
from bench3r.protocols.missing import NotApplicable
from bench3r.protocols.scored import Scored


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene; those that need different depths are missing where all patches have the same."""
    depth = scored.recursion_depth
    if depth is None:
        raise NotApplicable("the method has no recursion depth")
    assert scored.valid.any()
    truth = np.asarray(scored.scene.depth, np.float64)
    out = {
        "mean_depth": float(depth.mean()),
        "corr_geometry": rank_correlation(depth, plane_residual(truth, scored.patch)),
        "corr_texture": rank_correlation(depth, texture(scored.scene.images, scored.patch)),
        "seam_index": seam_index(scored, truth, depth),
    }
    pairs = corresponding_patches(truth, scored.true_c2w, scored.scene.intrinsics, scored.patch)
    flat = depth.ravel()
    if len(pairs):
        shares = np.bincount(flat[pairs].ravel()) / pairs.size
        out["agreement"] = float((flat[pairs[:, 0]] == flat[pairs[:, 1]]).mean())
        out["agreement_chance"] = float((shares**2).sum())
    return out


def seam_index(scored: Scored, truth: np.ndarray, depth: np.ndarray) -> float:
    """Mean border error where recursion depth changes over the mean where it does not; NaN without one of the two."""
    predicted = scored.depth.astype(np.float64) * median_ratio(
        scored.predicted_depth, scored.true_depth
    )
    vertical, horizontal = border_errors(predicted, truth, scored.patch)
    errors = np.concatenate([vertical.ravel(), horizontal.ravel()])
    changes = np.concatenate(
        [(np.diff(depth, axis=1) != 0).ravel(), (np.diff(depth, axis=2) != 0).ravel()]
    )
    good = np.isfinite(errors)
    at, off = errors[good & changes], errors[good & ~changes]
    return (
        float(at.mean() / off.mean()) if len(at) and len(off) and off.mean() > 0 else float("nan")
    )


PROTOCOL = Protocol(
    name="recursion",
    version=1,
    metrics=(
        Metric("seam_index", "ratio", "lower", "seam index", digits=2),
        Metric("corr_geometry", "rank correlation", "", "ρ(depth, geometry)", digits=2),
        Metric("corr_texture", "rank correlation", "", "ρ(depth, texture)", digits=2),
        Metric("agreement", "share", "", "agreement of views", digits=2),
        Metric("agreement_chance", "share", "", "agreement by chance", digits=2),
        Metric("mean_depth", "recursions", "", "mean recursion depth", digits=2),
    ),
    score=score,
    nan_reason="not applicable: needs patches of different depth, or views that see the same",
)
