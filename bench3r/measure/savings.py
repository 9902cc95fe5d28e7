"""What adaptive depth saves on an input: counted, predicted from its depths in closed form, and by the rule of thumb.

f is the share of the backbone's multiply-adds in the part that recursion replaces, m the mean depth of the patches,
K the number of recursions that cost as much as that part; the rule of thumb is f (1 - m / K).
"""

from __future__ import annotations

from typing import Any

from bench3r.measure.closed_form import backbone_macs, block_macs


def saving_facts(model: Any, frames: int, size: tuple[int, int], macs: int, extras: dict[str, Any]) -> dict[str, Any]:
    """Facts for the record: the backbone's count, the counted saving and, for recursion, f, m, K and predictions.

    ``model`` is the changed backbone, ``extras`` what its schedule reported, ``macs`` what was counted on this input of
    ``frames`` images of ``size`` (H, W).
    """
    parts = backbone_macs(model.name, model.config, frames, size)
    dense = sum(parts.values())
    facts: dict[str, Any] = {"backbone_macs": dense, "counted_saving": 1 - macs / dense}
    sharing = getattr(model.schedule, "sharing", None)
    if sharing is None or "depth_histogram" not in extras:
        return facts
    trunk = parts["frame_blocks"] + parts["global_blocks"]
    f = trunk * sharing.shared / sharing.pairs / dense
    mean, k = float(extras["mean_depth"]), sharing.recursions
    routed = recursion_macs(model, frames, size, extras)
    return {
        **facts, "f": f, "m": mean, "K": k, "rule_saving": f * (1 - mean / k),
        "predicted_saving": (f * dense - routed) / dense,
    }  # fmt: skip


def recursion_macs(model: Any, frames: int, size: tuple[int, int], extras: dict[str, Any]) -> float:
    """Multiply-adds of the recursions in closed form from the depth histogram, router and caches left out.

    The active patches are taken to be spread evenly over the views: exact for equal counts per view.
    """
    patch = model.config.patch_size
    patches = (size[0] // patch) * (size[1] // patch)
    counts, special = extras["depth_histogram"], model.trunk.special
    total, dim = 0.0, model.width
    linear = block_macs(1, 0, dim)  # of one block and token
    for recursion in range(len(counts) - 1):
        active = special + patches * sum(counts[recursion + 1 :]) / max(1, sum(counts))  # tokens of a view
        seen = special + patches if model.schedule.keys_of_all else active
        total += frames * active * (2 * linear + 2 * dim * (seen + frames * seen))
    return total * model.schedule.sharing.group
