"""Depth of a whole sequence with one scale (and shift), as CUT3R and Pi3 score it.

On Sintel, Bonn and KITTI. The prediction is resized to the true depth maps by cubic interpolation;
pixels count where their true depth is above 0 and below the dataset's largest depth (Sintel's
predictions are clipped there, too). ``scale_``: ten reweighting steps towards least absolute error;
``scaleshift_``: a thousand Adam steps of 1e-4, which reach no optimum and depend on the
prediction's units; ``metric_``: nothing. Means over the scenes of a dataset are weighted by
``valid``, the number of pixels, as in the papers.
"""

import numpy as np

from bench3r.metrics import depth
from bench3r.protocols.base import COUNTED, Metric, Noise, Protocol
from bench3r.protocols.missing import NotComputable
from bench3r.protocols.scored import Scored

# ten steps of reweighting do not converge, and weigh the pixels of least error without bound
REWEIGHTED = Noise(1e-2)


def score(scored: Scored) -> dict[str, float]:
    """Metrics of one scene. Raises NotComputable when no pixel's true depth counts."""
    true_maps = scored.full_depth.astype(np.float64)
    farthest = scored.largest_depth
    size = (true_maps.shape[1], true_maps.shape[2])
    resized = depth.resize_cubic(scored.depth.astype(np.float64), size)
    valid = (true_maps > 0) & (true_maps < farthest)
    if not valid.any():
        raise NotComputable(f"no pixel has true depth below {farthest:g}")
    predicted = resized[valid]
    true = true_maps[valid]
    modes = {
        "scale": (depth.reweighted_scale(predicted, true), 0.0),
        "scaleshift": depth.descended_scale_shift(predicted, true),
        "metric": (1.0, 0.0),
    }
    out = {"valid": float(valid.sum())}
    for mode, (scale, shift) in modes.items():
        aligned = scale * predicted + shift
        if scored.dataset is not None and scored.dataset.clips_depth:
            aligned = np.minimum(aligned, farthest)
        errors = depth.depth_errors(aligned, true)
        for name in ("absrel", "delta1", "rmse"):
            out[f"{mode}_{name}"] = errors[name]
    return out


PROTOCOL = Protocol(
    name="depth_video",
    label="depth of a sequence (CUT3R)",
    version=1,
    metrics=(
        Metric("scale_absrel", "ratio", "lower", "AbsRel (scale)", noise=REWEIGHTED),
        Metric("scale_delta1", "share", "higher", "δ<1.25 (scale)", noise=REWEIGHTED),
        Metric("scale_rmse", "unit", "lower", "RMSE (scale)", noise=REWEIGHTED),
        Metric("scaleshift_absrel", "ratio", "lower", "AbsRel (scale, shift)"),
        Metric("scaleshift_delta1", "share", "higher", "δ<1.25 (scale, shift)", noise=COUNTED),
        Metric("scaleshift_rmse", "unit", "lower", "RMSE (scale, shift)"),
        Metric("metric_absrel", "ratio", "lower", "AbsRel (metric)"),
        Metric("metric_delta1", "share", "higher", "δ<1.25 (metric)", noise=COUNTED),
        Metric("metric_rmse", "unit", "lower", "RMSE (metric)"),
        Metric("valid", "pixels", "", "valid pixels", digits=0),
    ),
    score=score,
    weight="valid",
)
