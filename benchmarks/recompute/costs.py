"""Columns of cost: paired times, FLOPs on scenes, memory and what a record says else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench3r.models.catalogue import reference_of
from benchmarks.recompute.intervals import paired_time, spread
from benchmarks.recompute.records import Part, Raw, Records, Setting

Value = float | str | None
OF_TIMES = ("time_s", "time_q1_s", "time_q3_s")
OF_RECORD = (*OF_TIMES, "profile_flops", "parameters", "peak_bytes", "above_baseline_bytes")
TIMES = ("time_ratio", "time_ratio_low", "time_ratio_high", "time_pairs", "time_suspect")


def profile_of(records: Records, setting: Setting, frames: int) -> Raw | None:
    """The cost record of ``setting``, if it is ok."""
    found = records.profiles.get((setting, frames))
    return found if found is not None and found["status"] == "ok" else None


def times(setting: Setting, cost: Raw | None) -> dict[str, Value]:
    """The paired ratio to the unchanged backbone, as the columns of a table."""
    nothing: dict[str, Value] = dict.fromkeys(TIMES, math.nan)
    nothing |= {"time_pairs": 0, "time_suspect": ""}
    if cost is None or not cost["seconds"]:
        return nothing
    doubts = [*cost["suspect"], spread("calls", cost["seconds"])]
    if setting.method == reference_of(setting.backbone):
        own: tuple[Value, ...] = (1.0, 1.0, 1.0, len(cost["seconds"]))
    else:
        found = paired_time(cost["seconds"], cost.get("reference_seconds") or [])
        if found is None:
            return nothing
        doubts += found.doubts
        own = (found.value, found.low, found.high, found.n)
    return dict(zip(TIMES, (*own, "; ".join(dict.fromkeys(filter(None, doubts)))), strict=True))


def flops_on_scenes(part: Part, setting: Setting, *, common: bool = True) -> float:
    """Mean FLOPs of ``setting`` over the common scenes, or over all; NaN when not counted."""
    rows = part.facts(setting, common=common)
    return mean([row["efficiency"]["flops"] for row in rows])


def mean(values: Sequence[Any]) -> float:
    """Mean of the numbers among ``values``; NaN without any."""
    known = [float(v) for v in values if v is not None and not isinstance(v, str)]
    return sum(known) / len(known) if known else math.nan


def flop_saving(part: Part, setting: Setting) -> float:
    """Share of the unchanged backbone's FLOPs that ``setting`` saves on the same scenes."""
    unchanged = part.records.unchanged(setting)
    if unchanged is None:
        return math.nan
    return 1 - flops_on_scenes(part, setting) / flops_on_scenes(part, unchanged)


def cost_columns(part: Part, setting: Setting) -> dict[str, Value]:
    """All columns that :mod:`bench3r.report.cost_columns` adds, for one row."""
    cost = profile_of(part.records, setting, part.frames)
    out: dict[str, Value] = {
        "flops_per_scene": flops_on_scenes(part, setting),
        "flop_saving": flop_saving(part, setting),
        **times(setting, cost),
    }
    if cost is None:
        return out | dict.fromkeys(OF_RECORD, math.nan)
    seconds = cost["seconds"]
    if seconds:
        low, middle, high = np.percentile(seconds, [25, 50, 75])
        out |= {"time_s": float(middle), "time_q1_s": float(low), "time_q3_s": float(high)}
    which = "gpu" if cost["peak_gpu_bytes"] else "rss"
    peak = cost[f"peak_{which}_bytes"]
    baseline = cost.get(f"baseline_{which}_bytes")
    above = None if peak is None or baseline is None else peak - baseline
    return out | {
        "profile_flops": cost["flops"],
        "parameters": cost["parameters"],
        "peak_bytes": peak,
        "above_baseline_bytes": above,
    }


def roofline_columns(records: Records, setting: Setting, frames: int) -> dict[str, Value]:
    """The row of a method in the roofline table."""
    cost = profile_of(records, setting, frames)
    unchanged = records.unchanged(setting)
    dense = None if unchanged is None else profile_of(records, unchanged, frames)
    if cost is None or dense is None:
        return {}
    own = times(setting, cost)
    ratio = cost["flops"] / dense["flops"]
    floor = cost["flops"] / cost["ceiling"]["flops"]
    seconds = float(np.median(cost["seconds"]))
    taken = own["time_ratio"]
    error = ratio / taken - 1 if isinstance(taken, float) else math.nan
    more = {"flops_ratio": ratio, "floor_s": floor, "time_s": seconds}
    return {**own, **more, "efficiency": floor / seconds, "error": error}
