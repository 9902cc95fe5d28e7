"""Protocol 1: point maps after a similarity, before and after ICP."""

from __future__ import annotations

from pydantic import Field

from bench3r.metrics.alignment import umeyama
from bench3r.metrics.clouds import pair_of
from bench3r.parity.checks._clouds import distances, prefixed, refined
from bench3r.parity.golden import Check, Golden, Outputs, Parameters, Value


class PointMapParameters(Parameters):
    """The rules of a case in words, of which the numbers count."""

    icp: str = Field("", pattern=r"^$|point to point without scale.* at most 30 steps.* < 1e-6")
    normals: str = Field("", pattern=r"^$|\b30 nearest neighbours")


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    golden.parameters(PointMapParameters)
    given = golden.numbers()
    valid = given["valid"].astype(bool)
    predicted = given["pred_pts"][valid]
    official = given["gt_pts"][valid]
    s = umeyama(predicted, official)
    similar = s.apply(predicted)
    after = refined(similar, official, float(given["icp_max_dist"]))
    before = distances(pair_of(similar, official))
    out: dict[str, Value] = {
        "umeyama_scale": s.scale,
        "umeyama_R": s.rotation,
        "umeyama_t": s.translation,
        **prefixed("noicp_", before),
        **after,
        "cd_half_sum": (float(after["acc_mean"]) + float(after["comp_mean"])) / 2,
    }
    return prefixed("out_", out)


CHECK = Check(
    name="point_maps",
    kind="protocol",
    golden=("1",),
    outputs=outputs,
    needs=("protocol",),
    reads=("parameters",),
)
