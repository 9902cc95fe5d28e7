"""Records of made-up runs, as the collect stage writes them, for tests of reports."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from bench3r.report.columns import Column, column_of
from bench3r.report.evidence import CostRow, Evidence, Setting
from bench3r.stages.collect import COLUMNS

COLUMN: Column = column_of("depth_median/absrel")


def rows(
    values: dict[str, list[float | None]],
    status: dict[tuple[str, int], str] | None = None,
    column: Column = COLUMN,
) -> pd.DataFrame:
    """A tidy table: method -> value per scene; ``status`` overrides (method, scene)."""
    out = []
    for method, numbers in values.items():
        for i, value in enumerate(numbers):
            state = (status or {}).get((method, i), "ok")
            out.append(
                {
                    "cell": method,
                    "method": method,
                    "label": method.upper(),
                    "kind": "control" if method == "oracle" else "plugin",
                    "options": "{}",
                    "backbone": "vggt",
                    "dataset": "d",
                    "frames": 4,
                    "seed": 0,
                    "scene": f"s{i}",
                    "protocol": column.protocol,
                    "metric": column.metric,
                    "status": state,
                    "value": value if state == "ok" else np.nan,
                    "reason": "" if state == "ok" else "it broke",
                }
            )
    return pd.DataFrame(out, columns=COLUMNS)


def cell(setting: Setting, *tables: str) -> SimpleNamespace:
    """The planned cell of ``setting`` in the comparisons ``tables``, called like its method."""
    return SimpleNamespace(
        id=setting.method,
        method=setting.method,
        label=setting.label,
        kind=setting.kind,
        options=setting.values,
        backbone=setting.backbone,
        tables=list(tables or ["main"]),
    )


def evidence(
    table: pd.DataFrame,
    cells: list[SimpleNamespace] | None = None,
    costs: list[CostRow] | None = None,
    facts: pd.DataFrame | None = None,
    ablations: tuple[str, ...] = (),
) -> Evidence:
    """Evidence of 4 frames; without ``cells`` every cell of ``table`` is in the main comparison."""
    if cells is None:
        names = table["cell"].unique()
        cells = [cell(Setting(str(n), str(n), "plugin", "{}", "vggt")) for n in names]
    config = SimpleNamespace(
        ablations=dict.fromkeys(ablations),
        protocols=[],
        protocols_for=lambda dataset: [],
        scale="tiny",
        base="shipped",
        precision="fp32",
    )
    return Evidence(
        plan=SimpleNamespace(cells=cells, config=config, name="made-up"),
        table=table,
        costs=costs or [],
        facts=pd.DataFrame() if facts is None else facts,
        trainings=pd.DataFrame(),
        frames=4,
    )


def cost(setting: Setting, **values: object) -> CostRow:
    """A measured cost of ``setting`` at 4 frames."""
    fields = setting._asdict() | {"frames": 4, "status": "ok"} | values
    return CostRow.model_validate(fields)
