"""What FLOPs alone would predict: measured latency beside its floor at the device's ceiling."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench3r.models.catalogue import label_of_network, reference_backbone
from bench3r.report.evidence import CostRow, Evidence
from bench3r.report.names import label_of
from bench3r.report.section import Section
from bench3r.report.tables import Table


def roofline_tables(e: Evidence) -> Iterator[Table]:
    """A table where ceilings were measured, and the reference beside them."""
    costs = [c for c in e.measured() if c.ceiling and c.flops > 0]
    dense = [c for c in costs if c.method == reference_backbone()]
    if dense:
        yield roofline_table(e, costs, dense[0])


def roofline_table(e: Evidence, costs: list[CostRow], dense: CostRow) -> Table:
    """Measured latency beside what the efficiency of the unchanged backbone ``dense`` predicts."""
    efficiency = _floor(dense) / dense.median_seconds
    raw = pd.DataFrame([_numbers(cost, efficiency) for cost in costs])
    shown = pd.DataFrame(
        {
            "method": [_name(cost, costs) for cost in costs],
            "floor (s)": raw["floor_s"].map("{:.3g}".format),
            "estimated (s)": raw["estimated_s"].map("{:.3g}".format),
            "measured (s)": raw["measured_s"].map("{:.3g}".format),
            "error of the estimate": raw["error"].map("{:+.0%}".format),
            "efficiency": raw["efficiency"].map("{:.0%}".format),
        }
    )
    label = label_of_network(reference_backbone())
    notes = [
        "Floor: counted FLOPs over the best rate of a matrix product in the same process. "
        f"Estimated: the floor over {label}'s efficiency, so its error says how far a FLOP count "
        "alone misses the latency of a method here.",
        f"{label} ran in {e.baseline()}.",
        "Pairwise models: FLOPs are the network's, the measured time includes alignment.",
    ]
    title = "What FLOPs alone would predict"
    return Table(f"roofline{e.suffix}", title, e.about, shown, raw, notes)


def _numbers(cost: CostRow, efficiency: float) -> dict[str, object]:
    """The raw row of a method, given the ``efficiency`` that is assumed of it."""
    floor = _floor(cost)
    estimated = floor / efficiency
    return {
        "method": cost.method,
        "label": cost.label,
        "backbone": cost.backbone,
        "options": cost.options,
        "floor_s": floor,
        "estimated_s": estimated,
        "measured_s": cost.median_seconds,
        "error": estimated / cost.median_seconds - 1,
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
