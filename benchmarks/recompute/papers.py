"""Papers' own tables: our number for every cell that the run covers."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from bench3r.files import read_yaml
from benchmarks.recompute.costs import Value, flop_saving, flops_on_scenes, profile_of
from benchmarks.recompute.records import Part, Setting
from benchmarks.recompute.tables import Table

LAYOUTS = Path(__file__).resolve().parents[2] / "methods" / "papers"


def paper_table(table: Table) -> list[dict[str, Value]]:
    """By cell the mean over the scenes that all of our rows finished, or the cost."""
    layout = _layout(table.name)
    titles = {column["title"]: column for column in layout["columns"]}
    reasons = {row["label"]: row.get("why", "") for row in layout["rows"]}
    out: list[dict[str, Value]] = []
    for row in table.rows:
        column = titles[row["column"]]
        setting = Setting(row["method"], row["backbone"], row["options"])
        why = column.get("why") or reasons[row["row"]]
        frames = column.get("frames", table.records.cells[0].frames)
        known = any(cell.frames == frames for cell in table.records.cells)
        if not row["method"] or why or not known:
            out.append({"measured": None, "n": 0})
            continue
        datasets = {column["dataset"]} if column.get("dataset") else table.records.main_datasets()
        part = Part(table.records, table.settings, datasets, frames)
        value, n = _cell(table, part, setting, column)
        value *= column.get("times", 1.0)
        missing = not math.isfinite(value)
        out.append({"measured": None if missing else value, "n": 0 if missing else n})
    return out


def _cell(table: Table, part: Part, setting: Setting, column: dict[str, Any]) -> tuple[float, int]:
    """The value of a cell, and over how many scenes or calls."""
    if "metric" in column:
        protocol, metric = column["metric"].split("/")
        own = table.column(protocol, metric, part).values.get(setting, {})
        known = [value for value in own.values() if math.isfinite(value)]
        return (sum(known) / len(known), len(known)) if known else (math.nan, 0)
    what = column.get("cost")
    if column.get("dataset") and not part.common:
        return math.nan, 0
    cost = profile_of(table.records, setting, part.frames)
    calls = len(cost["seconds"]) if cost else 0
    if what == "saved_flops":
        return flop_saving(part, setting), calls
    if what == "flops":
        spent = flops_on_scenes(part, setting)
        return (spent if math.isfinite(spent) or cost is None else cost["flops"]), calls
    if cost is None or what not in ("time", "memory"):
        return math.nan, 0
    if what == "time":
        ordered = sorted(cost["seconds"])
        middle = len(ordered) // 2
        return (ordered[middle] + ordered[-middle - 1]) / 2, calls
    return cost["peak_gpu_bytes"] or cost["peak_rss_bytes"], calls


def _layout(name: str) -> dict[str, Any]:
    """The layout of the table called ``name``: PAPER_NUMBER."""
    for path in LAYOUTS.glob("*.yaml"):
        for table in read_yaml(path)["tables"]:
            slug = re.sub(r"\W+", "_", table["number"].lower())
            if name == f"{path.stem}_{slug}":
                found: dict[str, Any] = table
                return found
    raise KeyError(name)
