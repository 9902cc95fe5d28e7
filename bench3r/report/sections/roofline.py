"""What FLOPs alone would predict: paired times beside it, and floors at the device's ceiling."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from bench3r.models.catalogue import label_of_network, reference_backbone, reference_of
from bench3r.report.captions import cost_caption
from bench3r.report.evidence import CostRow, Evidence
from bench3r.report.names import label_of
from bench3r.report.section import Section
from bench3r.report.tables import Table, number
from bench3r.report.time_columns import (
    RATIO,
    SECONDS,
    ratio_note,
    ratio_numbers,
    ratio_text,
)


def roofline_tables(e: Evidence) -> Iterator[Table]:
    """A table where ceilings were measured and FLOPs counted."""
    costs = [c for c in e.measured() if c.ceiling and c.flops > 0]
    if costs:
        yield roofline_table(e, costs)


def roofline_table(e: Evidence, costs: list[CostRow]) -> Table:
    """Paired times beside what the FLOPs of methods would make of their backbone's time."""
    raw = pd.DataFrame([_numbers(e, cost) for cost in costs])
    shown = pd.DataFrame(
        {
            "method": [_name(cost, costs) for cost in costs],
            "FLOPs / backbone": [number(value, ".3f") for value in raw["flops_ratio"]],
            RATIO: [ratio_text(cost.ratio) for cost in costs],
            "error of the estimate": [number(value, "+.0%") for value in raw["error"]],
            "floor (s)": [number(value, ".3g") for value in raw["floor_s"]],
            SECONDS: [number(value, ".3g") for value in raw["time_s"]],
            "efficiency": [number(value, ".0%") for value in raw["efficiency"]],
        }
    )
    notes = [
        "A FLOP count alone estimates that a method takes FLOPs / backbone of its backbone's time; "
        "the error says how far that is from the paired ratio. Both on the profile's input.",
        ratio_note(e, costs),
        "Floor: counted FLOPs over the best rate of a matrix product in the same process; "
        "efficiency: floor over the median time of that process. Whole models: FLOPs are the "
        "network's, the measured time includes alignment.",
    ]
    title = "What FLOPs alone would predict"
    caption = cost_caption(e, costs)
    return Table(f"roofline{e.suffix}", title, caption, shown, raw, notes)


def _numbers(e: Evidence, cost: CostRow) -> dict[str, object]:
    """The raw row of a method."""
    dense = e.cost_of_method(reference_of(cost.backbone))
    of_flops = math.nan if dense is None else cost.flops / dense.flops
    of_time = math.nan if cost.ratio is None else cost.ratio.value
    floor = _floor(cost)
    return {
        "method": cost.method,
        "label": cost.label,
        "backbone": cost.backbone,
        "options": cost.options,
        "flops_ratio": of_flops,
        **ratio_numbers(cost.ratio),
        "error": of_flops / of_time - 1,
        "floor_s": floor,
        "time_s": cost.median_seconds,
        "efficiency": floor / cost.median_seconds,
    }


def _floor(cost: CostRow) -> float:
    return cost.flops / cost.ceiling["flops"]


def _name(cost: CostRow, costs: list[CostRow]) -> str:
    """Label with the options that tell a row from others of its method, and an unusual backbone."""
    same = []
    for other in costs:
        if (other.method, other.backbone) == (cost.method, cost.backbone):
            same.append(other.setting.values)
    name = label_of(cost.method, cost.label, cost.setting.values, same)
    if cost.backbone in (reference_backbone(), cost.method):
        return name
    return f"{name} on {label_of_network(cost.backbone)}"


SECTION = Section("roofline", 150, "length", frame_tables=roofline_tables)
