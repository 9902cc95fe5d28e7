"""Protocol 8: surfaces of scanned objects, in the stored order of points and after a shuffle."""

from __future__ import annotations

import numpy as np

from bench3r.metrics import dtu
from bench3r.parity.checks._clouds import prefixed
from bench3r.parity.golden import Check, Golden, Outputs, Value

SEED = 42  # of the shuffle


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    given = golden.numbers()
    seen = dtu.Observation(given["ObsMask"], given["BB"], float(given["Res"]), given["plane"])
    points = given["pred_points"]
    shuffled = points.copy()
    np.random.default_rng(SEED).shuffle(shuffled, axis=0)
    out: dict[str, Value] = {}
    for name, cloud in {"stored_order": points, f"seed{SEED}": shuffled}.items():
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
