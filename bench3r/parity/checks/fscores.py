"""Protocol 9: F-scores of given clouds, plain and after averaging in voxels."""

from __future__ import annotations

from bench3r.metrics import clouds, normalised
from bench3r.parity.checks._clouds import prefixed
from bench3r.parity.golden import Check, Golden, Outputs, Value

VOXEL = 4  # cm, where the file names none


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    given = golden.numbers()
    own = given["pred_points"]
    true = given["gt_points"]
    size = clouds.diagonal(true)
    pair = clouds.pair_of(own, true)
    forward = pair.accuracy.distance
    back = pair.completeness.distance
    acc = float(forward.mean())
    comp = float(back.mean())
    out: dict[str, Value] = {
        "acc": acc,
        "comp": comp,
        "chamfer_half_sum": (acc + comp) / 2,
        "chamfer_sum": acc + comp,
        "chamfer_sq_half_sum": normalised.squared_chamfer(forward, back),
        "gt_bbox_diagonal": size,
    }
    (centimetres,) = golden.numbers_in_names(r"out_da3_vox(\d+)cm_d1pct_acc") or [VOXEL]
    side = centimetres / 100
    voxels = clouds.pair_of(clouds.voxel_average(own, side), clouds.voxel_average(true, side))
    voxel_acc = float(voxels.accuracy.distance.mean())
    voxel_comp = float(voxels.completeness.distance.mean())
    thresholds = {"d1pct": 0.01 * size}
    for hundredths in golden.numbers_in_names(r"out_t(\d{3})_threshold"):
        thresholds[f"t{hundredths:03d}"] = hundredths / 100
    for name, t in thresholds.items():
        out |= prefixed(f"{name}_", {**clouds.fscore(pair, t), "threshold": t})
        averaged = clouds.fscore(voxels, t)
        averaged["acc"] = voxel_acc
        averaged["comp"] = voxel_comp
        averaged["overall"] = (voxel_acc + voxel_comp) / 2
        out |= prefixed(f"da3_vox{centimetres}cm_{name}_", averaged)
    return prefixed("out_", out)


CHECK = Check(name="fscores", kind="protocol", golden=("9",), outputs=outputs, needs=("protocol",))
