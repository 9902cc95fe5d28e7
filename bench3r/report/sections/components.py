"""Components of a method: their parameters and shares of the FLOPs, beside its backbone's."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench3r.api.presentation import ComponentTable
from bench3r.models.catalogue import reference_of
from bench3r.report.captions import cost_caption
from bench3r.report.evidence import CostRow, Evidence, declarations
from bench3r.report.section import Section
from bench3r.report.tables import Table


def component_tables(e: Evidence) -> Iterator[Table]:
    """A table for each declaration whose method was measured."""
    for method, section in declarations(ComponentTable):
        cost = e.cost_of_method(method)
        if cost is not None:
            yield component_table(e, section, cost)


def component_table(e: Evidence, section: ComponentTable, cost: CostRow) -> Table:
    """The components of the method behind ``cost`` and of its unchanged backbone."""
    unchanged = e.cost_of_method(reference_of(cost.backbone))
    shown = pd.DataFrame({"component": list(section.components)})
    raw = shown.copy()
    for one in (unchanged, cost):
        if one is None:
            continue
        parameters = []
        flops = []
        for parts in section.components.values():
            parameters.append(sum(one.parameters_by_part.get(part, 0) for part in parts))
            flops.append(sum(one.flops_by_part.get(part, 0) for part in parts))
        raw[f"{one.method}/parameters"] = parameters
        raw[f"{one.method}/flops"] = flops
        shown[f"{one.label}: parameters"] = [f"{count:,}" for count in parameters]
        shown[f"{one.label}: share of FLOPs"] = [f"{count / one.flops:.1%}" for count in flops]
    used = [one for one in (unchanged, cost) if one is not None]
    caption = cost_caption(e, used)
    name = f"{section.file}{e.suffix}"
    return Table(name, section.title, caption, shown, raw, list(section.notes))


SECTION = Section("components", 40, "depth", frame_tables=component_tables)
