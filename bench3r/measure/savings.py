"""What adaptive depth saves on an input: counted, predicted from its depths in closed form, and by the rule of thumb.

f is the share of the backbone's multiply-adds in the part that recursion replaces, m the mean depth of the patches,
K the number of recursions that cost as much as that part; the rule of thumb is f (1 - m / K).
"""

from __future__ import annotations

from typing import Any

from bench3r.models.catalogue import NETWORKS
from bench3r.recursion.cost import recursion_macs


def saving_facts(
    model: Any, frames: int, size: tuple[int, int], macs: int, extras: dict[str, Any]
) -> dict[str, Any]:
    """Facts for the record: the backbone's count, the counted saving and, for recursion, f, m, K and predictions.

    ``model`` is the changed backbone, ``extras`` what its schedule reported, ``macs`` what was counted on this input of
    ``frames`` images of ``size`` (H, W).
    """
    parts = {
        k: round(v)
        for k, v in NETWORKS.get(model.name)
        .part("macs")
        .cost(model.config, frames, size)
        .parts.items()
    }
    dense = sum(parts.values())
    facts: dict[str, Any] = {"backbone_macs": dense, "counted_saving": 1 - macs / dense}
    sharing = getattr(model.schedule, "sharing", None)
    if sharing is None or "depth_histogram" not in extras:
        return facts
    trunk = parts["frame_blocks"] + parts["global_blocks"]
    f = trunk * sharing.shared / sharing.pairs / dense
    mean, k = float(extras["mean_depth"]), sharing.recursions
    routed = routed_macs(model, frames, size, extras)
    return {
        **facts,
        "f": f,
        "m": mean,
        "K": k,
        "rule_saving": f * (1 - mean / k),
        "predicted_saving": (f * dense - routed) / dense,
    }


def routed_macs(model: Any, frames: int, size: tuple[int, int], extras: dict[str, Any]) -> float:
    """Multiply-adds of the recursions in closed form from the depth histogram, router and caches left out."""
    patch, counts = model.config.patch_size, extras["depth_histogram"]
    active = [sum(counts[r + 1 :]) / max(1, sum(counts)) for r in range(len(counts) - 1)]
    patches = (size[0] // patch) * (size[1] // patch)
    group, every = model.schedule.sharing.group, model.schedule.keys_of_all
    return sum(
        recursion_macs(active, group, frames, patches, model.trunk.special, model.width, every)
    )
