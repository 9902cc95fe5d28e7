"""Where a row of a table comes from: its raw values, and the files of the records behind it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench3r.report.evidence import Evidence, Setting, rows_of_setting
from bench3r.report.tables import Table

Plain = str | int | float | bool | list[object]
Origin = dict[str, Plain]  # by name what the dialog of a cell shows
PROVENANCE = ("device", "git", "weights", "time")
OF_MAIN = ("table2", "table2_differences", "detail")  # tables of the main comparison


def origins(table: Table, records: pd.DataFrame, run: str) -> list[Origin]:
    """One origin per shown row; empty for rows that a paper reports."""
    out: list[Origin] = []
    one_to_one = len(table.raw) <= len(table.shown)
    for place in range(len(table.shown)):
        if one_to_one and place < len(table.raw):
            out.append(_origin(table.raw.iloc[place], records, run))
        else:
            out.append({})
    return out


def _origin(row: pd.Series, records: pd.DataFrame, run: str) -> Origin:
    facts: Origin = {}
    for name, value in row.items():
        if _is_known(value):
            facts[str(name)] = _plain(value)
    if {"method", "options", "backbone"} <= set(row.index):
        setting = Setting(row["method"], "", "", row["options"], row["backbone"])
        facts |= _provenance(rows_of_setting(records, setting), run)
    return facts


def _provenance(own: pd.DataFrame, run: str) -> Origin:
    """Devices, commits and weights of records, and the files in which they lie."""
    facts: Origin = {}
    for name in PROVENANCE:
        values = sorted(map(str, own[name].dropna().unique())) if name in own else []
        if values:
            facts[name] = list(values)
    files: list[object] = []
    for cell in own["cell"].unique():
        files += [f"results/{run}/predict/{cell}.jsonl", f"results/{run}/score/{cell}.jsonl"]
    facts["records"] = files
    return facts


def records_of(table: Table, e: Evidence, records: pd.DataFrame) -> pd.DataFrame:
    """The records that ``table`` was made from, as its name says.

    Those of the main comparison, of one dataset in it, or of an ablation; else all ``records``.
    """
    name = table.name.removesuffix(e.suffix) if e.suffix else table.name
    if name in OF_MAIN:
        return e.rows_of("main")
    if name.startswith("dataset_"):
        rows = e.rows_of("main")
        return rows[rows["dataset"].eq(name.removeprefix("dataset_"))]
    ablation = name.removeprefix("ablation_")
    return e.rows_of(ablation) if ablation in e.ablations else records


def _is_known(value: object) -> bool:
    return isinstance(value, (list, dict)) or not pd.isna(value)


def _plain(value: object) -> Plain:
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, (str, int, float, bool, list)) else str(value)
