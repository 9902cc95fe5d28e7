"""What settings cost, as columns of a comparison: time, FLOPs and memory, and notes on them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from bench3r.models.catalogue import label_of_network, reference_of
from bench3r.report.costs import CostRow
from bench3r.report.evidence import Evidence
from bench3r.report.names import label_of
from bench3r.report.settings import Setting, settings_of
from bench3r.report.tables import MISSING, Table, number
from bench3r.report.time_columns import RATIO, SECONDS, ratio_note, ratio_text, time_cell

MEMORY = "peak memory (MB)"
OF_RECORD = ("profile_flops", "parameters", "peak_bytes", "above_baseline_bytes")


def add_costs(e: Evidence, table: Table, settings: list[Setting], scenes: pd.Index) -> None:
    """Time, FLOPs on ``scenes`` and memory of ``settings``, as columns of ``table`` and notes."""
    costs = [e.cost_of(s) for s in settings]
    spent = {s: e.flops_on_scenes(s, scenes) for s in settings}
    saved = [1 - flops / unchanged_flops(e, setting, scenes) for setting, flops in spent.items()]
    times = [time_cell(cost) for cost in costs]
    table.shown[RATIO] = [time.ratio for time in times]
    table.shown[SECONDS] = [time.seconds for time in times]
    table.shown["FLOPs (G)"] = [number(flops / 1e9, ".2f") for flops in spent.values()]
    table.shown["saved FLOPs"] = [number(share, ".1%") for share in saved]
    table.shown[MEMORY] = [memory_text(cost) for cost in costs]
    table.raw["flops_per_scene"] = list(spent.values())
    table.raw["flop_saving"] = saved
    numbers = [time.numbers | _numbers(cost) for time, cost in zip(times, costs, strict=True)]
    for name in dict.fromkeys(name for row in numbers for name in row):
        table.raw[name] = [row.get(name) for row in numbers]
    table.notes += cost_notes(e)


def unchanged_flops(e: Evidence, setting: Setting, scenes: pd.Index) -> float:
    """FLOPs of the unchanged backbone of ``setting`` on ``scenes``, in the table or not.

    NaN when they were not counted.
    """
    wanted = reference_of(setting.backbone)
    rows = e.table[e.table["method"].eq(wanted) & e.table["kind"].eq("backbone")]
    found = next(iter(settings_of(rows)), None)
    return math.nan if found is None else e.flops_on_scenes(found, scenes)


def _numbers(cost: CostRow | None) -> dict[str, float | str]:
    """Raw numbers of the record, but for times."""
    if cost is None or not cost.ok:
        return dict.fromkeys(OF_RECORD, math.nan)
    values = (cost.flops, cost.parameters, cost.peak_bytes, cost.above_baseline_bytes)
    return dict(zip(OF_RECORD, values, strict=True))


def fp8_note(costs: list[CostRow]) -> list[str]:
    """How long those of ``costs`` that use FP8 take over the same without it; none: no note."""
    found = []
    for cost in costs:
        ratio = cost.fp8_ratio
        if ratio is None:
            continue
        alike = [c.setting.values for c in costs if c.method == cost.method]
        name = label_of(cost.method, cost.label, cost.setting.values, alike)
        slower = " (FP8 is slower)" if ratio.low > 1 else ""
        found.append(f"{name} on {label_of_network(cost.backbone)} {ratio_text(ratio)}{slower}")
    if not found:
        return []
    how = "time over the same method without FP8, calls taken in turn"
    return [f"FP8: {how}: {'; '.join(found)}."]


def memory_text(cost: CostRow | None) -> str:
    """Peak memory in MB, and in brackets what of it is above the process's baseline."""
    if cost is None:
        return MISSING
    if not cost.ok:
        return cost.status
    text = number(cost.peak_bytes / 1e6, ".0f")
    above = cost.above_baseline_bytes
    return f"{text} ({above / 1e6:.0f})" if math.isfinite(above) else text


def memory_note(costs: Iterable[CostRow]) -> str:
    """What the memory of ``costs`` is of, and what its baseline is."""
    if any(cost.on_gpu for cost in costs):
        return (
            "Peak memory: of tensors on the GPU in the first call; in brackets what of it is above "
            "what was allocated before (weights and images)."
        )
    return (
        "Peak memory: of the whole process (resident set) in the first call on a CPU; in brackets "
        "what of it is above what was resident before (libraries, weights and images)."
    )


def cost_notes(e: Evidence) -> list[str]:
    """On what input and device time, FLOPs and memory were measured, and how they compare."""
    measured = e.measured()
    if not measured:
        return ["Time and memory were not measured at this number of frames."]
    sizes = sorted({f"{c.image_size[0]} x {c.image_size[1]}" for c in measured if c.image_size})
    return [
        f"Time and memory: one forward pass on {e.frames} images of {' or '.join(sizes)} pixels, "
        f"{measured[0].device}; FLOPs: mean of the compared scenes. Savings are over the unchanged "
        f"backbone in {e.baseline()}.",
        ratio_note(e),
        memory_note(measured),
        *fp8_note(measured),
    ]
