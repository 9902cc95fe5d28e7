"""Protocol 6: depth of a sequence in every scale mode.

Where the file holds the official resized maps, the scale modes start from them: Adam on signs turns
the last bit of a float32 into a relative 1e-6. The resizing itself is compared in its own row.
"""

from __future__ import annotations

import numpy as np

from bench3r.metrics import depth, normalised
from bench3r.parity.checks._clouds import prefixed
from bench3r.parity.golden import Check, Golden, Outputs, Value

RESIZED = "out_pred_resized"


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    given = golden.numbers()
    official = given["gt_depth"]
    size = (official.shape[1], official.shape[2])
    resized = depth.resize_cubic(given["pred_depth_small"], size).astype(np.float32)
    start = golden.arrays.get(RESIZED, resized).astype(np.float64)
    farthest = float(given["max_depth"])
    clip = float(given["post_clip_max"])
    valid = (official > 0) & (official < (farthest if farthest > 0 else np.inf))
    errors, scale = normalised.depth_errors(start, official)
    own = depth.depth_mse(start[valid], official[valid])
    out: dict[str, Value] = {
        "pred_resized": resized,
        **_modes(start[valid], official[valid], clip),
        **prefixed("lite3r_", {**errors, "s": scale}),
        "own_median_scale": depth.median_ratio(start[valid], official[valid]),
        "own_dmse": own["mse"],
        "own_dmse_norm": own["mse_norm"],
    }
    return prefixed("out_", out)


def _modes(p: np.ndarray, t: np.ndarray, clip: float) -> dict[str, Value]:
    """Errors of predicted depths [N] against ``t`` [N] in every scale mode; ``clip`` 0: none."""
    scale = depth.reweighted_scale(p, t)
    median = depth.median_ratio(p, t, lower=True)
    moved = depth.descended_scale_shift(p, t)
    out: dict[str, Value] = {
        "scale_f64_s": scale,
        "scaleshift_f64_s_init": median,
        "scaleshift_f64_s": moved[0],
        "scaleshift_f64_t": moved[1],
    }
    modes = {
        "scale": (scale, 0.0),
        "scaleshift": moved,
        "median": (median, 0.0),
        "metric": (1.0, 0.0),
        "lstsq": depth.fitted_scale_shift(p, t),
    }
    for name, (s, shift) in modes.items():
        aligned = s * p + shift
        aligned = np.minimum(aligned, clip) if clip > 0 else aligned
        out |= prefixed(f"{name}_f64_", depth.depth_errors(aligned, t))
        out[f"{name}_f64_valid"] = len(t)
    return out


CHECK = Check(
    name="depth_maps", kind="protocol", golden=("6",), outputs=outputs, needs=("protocol",)
)
