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
    raw = []
    shown = []
    for cost in costs:
        measured = cost.median_seconds
        floor = _floor(cost)
        estimated = floor / efficiency
        row = {
            "method": cost.method,
            "label": cost.label,
            "backbone": cost.backbone,
            "options": cost.options,
            "floor_s": floor,
            "estimated_s": estimated,
            "measured_s": measured,
            "error": estimated / measured - 1,
            "efficiency": floor / measured,
        }
        raw.append(row)
        shown.append(
            {
                "method": _name(cost, costs),
                "floor (s)": f"{floor:.3g}",
                "estimated (s)": f"{estimated:.3g}",
                "measured (s)": f"{measured:.3g}",
                "error of the estimate": f"{row['error']:+.0%}",
                "efficiency": f"{row['efficiency']:.0%}",
            }
        )
    label = label_of_network(reference_backbone())
    notes = [
        "Floor: counted FLOPs over the best rate of a matrix product in the same process. "
        f"Estimated: the floor over {label}'s efficiency, so its error says how far a FLOP count "
        "alone misses the latency of a method here.",
        "Pairwise models: FLOPs are the network's, the measured time includes alignment.",
    ]
    title = "What FLOPs alone would predict"
    name = f"roofline{e.suffix}"
    return Table(name, title, e.about, pd.DataFrame(shown), pd.DataFrame(raw), notes)


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


SECTION = Section("roofline", 150, frame_tables=roofline_tables)
