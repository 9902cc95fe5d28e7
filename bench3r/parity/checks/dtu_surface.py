"""Protocol 8: surfaces of scanned objects, in the stored order of points and after a shuffle."""

from __future__ import annotations

import numpy as np

from bench3r.metrics import dtu
from bench3r.parity.checks._clouds import prefixed
from bench3r.parity.golden import Check, Golden, Outputs, Value

SEED = 42  # of the shuffle that one of the evaluators fixes


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    given = golden.numbers()
    seen = dtu.Observation(given["ObsMask"], given["BB"], float(given["Res"]), given["plane"])
    points = given["pred_points"]
    orders = {"stored_order": points}
    for seed in {SEED, *golden.numbers_in_names(r"out_seed(\d+)_acc")}:
        shuffled = points.copy()
        np.random.default_rng(seed).shuffle(shuffled, axis=0)
        orders[f"seed{seed}"] = shuffled
    out: dict[str, Value] = {}
    for name, cloud in orders.items():
        found = dtu.evaluate(cloud, given["stl_points"], seen)
        out[f"{name}_acc"] = found.acc
        out[f"{name}_comp"] = found.comp
        out[f"{name}_overall"] = found.overall
        out[f"{name}_keep_mask"] = found.keep
        out |= {f"{name}_n_{k}": v for k, v in found.counts.items()}
    for value in ("acc", "comp", "overall"):
        out[f"da3_{value}"] = out[f"seed{SEED}_{value}"]
    return prefixed("out_", out)


CHECK = Check(
    name="dtu_surface", kind="protocol", golden=("8",), outputs=outputs, needs=("protocol",)
)
