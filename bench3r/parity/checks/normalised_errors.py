"""Protocol 7: errors of poses, points and depth relative to the first camera."""

from __future__ import annotations

import numpy as np

from bench3r.metrics import clouds, normalised
from bench3r.metrics.alignment import move
from bench3r.metrics.projection import unproject
from bench3r.parity.checks._clouds import prefixed
from bench3r.parity.golden import Check, Golden, Inputs, Outputs, Value

THRESHOLD = 0.05  # of the F-score


def square(matrices: np.ndarray) -> np.ndarray:
    """World-to-camera [V, 3, 4] as [V, 4, 4]."""
    bottom = np.broadcast_to([0.0, 0, 0, 1], (len(matrices), 1, 4))
    return np.concatenate([matrices, bottom], 1)


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    given = golden.numbers()
    own = normalised.relative_to_first(square(given["pred_w2c"]))
    true = normalised.relative_to_first(square(given["gt_w2c"]))
    rotation = normalised.rotation_errors(own, true)
    errors, _scale = normalised.depth_errors(given["pred_depth"], given["gt_depth"])
    out: dict[str, Value] = {
        "rot_err_deg": rotation.mean(),
        "rot_err_per_view": rotation,
        "rot_err_deg_without_ref": rotation[1:].mean(),
        "trans_err": normalised.translation_errors(own, true).mean(),
        **_points(given, own),
        **prefixed("depth_", errors),
    }
    return prefixed("out_", out)


def _points(given: Inputs[np.ndarray], own: np.ndarray) -> dict[str, Value]:
    """Both clouds in the first camera's frame, and their distances."""
    a = unproject(given["pred_depth"], own[:, :3], given["K"]).reshape(-1, 3)
    valid = given["valid"].astype(bool)
    b = move(square(given["gt_w2c"])[0], given["gt_world_points"][valid])
    pair = clouds.pair_of(a, b)
    chamfer = normalised.squared_chamfer(pair.accuracy.distance, pair.completeness.distance)
    f = clouds.fscore(pair, THRESHOLD)["fscore"]
    return {
        "chamfer": chamfer,
        "chamfer_exact_f64": chamfer,
        "fscore_005": f,
        "fscore_005_exact_f64": f,
        "pred_points": a,
        "gt_points": b,
    }


CHECK = Check(
    name="normalised_errors", kind="protocol", golden=("7",), outputs=outputs, needs=("protocol",)
)
