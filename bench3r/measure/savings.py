"""What adaptive depth saves on an input: counted, predicted from its depths, by rule of thumb.

f is the share of the backbone's multiply-adds in the part that recursion replaces, m the mean depth
of the patches, K the number of recursions that cost as much as that part; the rule of thumb is f (1
- m / K).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from bench3r.models.catalogue import NETWORKS
from bench3r.recursion.cost import recursion_macs


def saving_facts(
    model: Any, frames: int, size: tuple[int, int], macs: int, reported: Mapping[str, Any]
) -> dict[str, JsonValue]:
    """Facts for the record: the backbone's count, the savings and, for recursion, f, m and K.

    ``model`` is the changed backbone, ``reported`` the facts of its schedule, ``macs`` what was
    counted on this input of ``frames`` images of ``size`` (H, W).
    """
    cost = NETWORKS.get(model.name).part("macs").cost(model.config, frames, size)
    parts = {part: round(value) for part, value in cost.parts.items()}
    dense = sum(parts.values())
    facts: dict[str, JsonValue] = {"backbone_macs": dense, "counted_saving": 1 - macs / dense}
    sharing = getattr(model.schedule, "sharing", None)
    if sharing is None or "depth_histogram" not in reported:
        return facts
    trunk = parts["frame_blocks"] + parts["global_blocks"]
    f = trunk * sharing.shared / sharing.pairs / dense
    mean = float(reported["mean_depth"])
    k = sharing.recursions
    routed = routed_macs(model, frames, size, reported)
    return {
        **facts,
        "f": f,
        "m": mean,
        "K": k,
        "rule_saving": f * (1 - mean / k),
        "predicted_saving": (f * dense - routed) / dense,
    }


def routed_macs(
    model: Any, frames: int, size: tuple[int, int], reported: Mapping[str, Any]
) -> float:
    """Multiply-adds of the recursions in closed form from the depth histogram.

    Router and caches are left out.
    """
    patch = model.config.patch_size
    counts = reported["depth_histogram"]
    active = [sum(counts[r + 1 :]) / max(1, sum(counts)) for r in range(len(counts) - 1)]
    patches = (size[0] // patch) * (size[1] // patch)
    within, across = recursion_macs(
        active,
        group=model.schedule.sharing.group,
        frames=frames,
        patches=patches,
        special=model.trunk.special,
        dim=model.width,
        keys_of_all=model.schedule.keys_of_all,
    )
    return within + across
