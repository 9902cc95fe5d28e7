"""Protocol 5: ATE and RPE of camera centres."""

from __future__ import annotations

from bench3r.metrics import pose
from bench3r.parity.checks._clouds import prefixed
from bench3r.parity.golden import Check, Golden, Outputs, Value


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    given = golden.numbers()
    own = given["pred_c2w"]
    true = given["gt_c2w"]
    s = pose.align_trajectory(own, true)
    out: dict[str, Value] = {
        **pose.trajectory_errors(own, true),
        "sim3_scale": s.scale,
        "sim3_R": s.rotation,
        "sim3_t": s.translation,
        "position_errors": pose.position_errors(pose.move_trajectory(own, s), true),
    }
    return prefixed("out_", out)


CHECK = Check(
    name="trajectory", kind="protocol", golden=("5",), outputs=outputs, needs=("protocol",)
)
