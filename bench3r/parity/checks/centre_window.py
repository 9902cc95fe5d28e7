"""Protocol 2: normalised point maps in the middle of the images, in both published forms."""

from __future__ import annotations

import numpy as np

from bench3r.metrics import window
from bench3r.metrics.alignment import move
from bench3r.parity.checks._clouds import prefixed, refined
from bench3r.parity.golden import Check, Golden, Outputs, Value

REACH = 0.1  # of ICP


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    given = golden.numbers()
    _view, row, column = given["valid_index"].astype(int).T
    height, width = (int(n) for n in given["image_hw"])
    first = given["gt_c2w"][0]
    official = move(np.linalg.inv(first), given["gt_pts_valid"])
    both = window.normalise(given["pred_pts_valid"], official)
    scored = window.in_window(height, width)[row, column]
    own = both.predicted[scored]
    true = both.true[scored]
    frames: dict[str, Value] = {
        "gt_shift_z": both.true_frame.shift,
        "pred_shift_z": both.predicted_frame.shift,
        "gt_scale": both.true_frame.scale,
        "pred_scale": both.predicted_frame.scale,
        "num_points": len(own),
    }
    shift = np.array([0.0, 0.0, both.true_frame.shift])
    in_world = refined(move(first, own + shift), move(first, true + shift), REACH)
    in_camera = refined(own, true, REACH)
    return {
        **prefixed("out_cut3r_f64_", {**frames, **in_world}),
        **prefixed("out_fastvggt_f64_", {**frames, **in_camera}),
    }


CHECK = Check(
    name="centre_window", kind="protocol", golden=("2",), outputs=outputs, needs=("protocol",)
)
