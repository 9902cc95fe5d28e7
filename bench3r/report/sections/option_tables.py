"""Ablations for which a method declares a table of its own form."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import pandas as pd

from bench3r.api.presentation import OptionTable
from bench3r.report.columns import QUALITY, Column, columns_of
from bench3r.report.comparison import comparison
from bench3r.report.evidence import Evidence, Setting, declarations
from bench3r.report.fact_columns import add_fact_columns
from bench3r.report.names import dataset_label
from bench3r.report.reported import all_reported
from bench3r.report.section import Section
from bench3r.report.settings import settings_of
from bench3r.report.summary import wide
from bench3r.report.tables import MISSING, Table, number

BYTES = {"fp32": 4, "bf16": 2}  # of a parameter


def option_tables(e: Evidence) -> Iterator[Table]:
    """The declared tables, one for every dataset where that is asked for."""
    owners = {section.file: method for method, section in declarations(OptionTable)}
    for name, section in e.option_tables().items():
        rows = e.rows_of(name)
        if rows.empty:
            continue
        owner = owners[section.file]
        if not section.by_dataset:
            yield option_table(e, section, rows, owner)
            continue
        for dataset in rows["dataset"].unique():
            own = rows[rows["dataset"].eq(dataset)]
            yield option_table(e, section, own, owner, str(dataset))


def option_table(
    e: Evidence, section: OptionTable, rows: pd.DataFrame, owner: str, dataset: str = ""
) -> Table:
    """One declared table from the scores ``rows``; ``owner``: the method that declares it."""
    table = comparison(
        e,
        rows,
        _columns(section, rows),
        name=f"{section.file}_{dataset}" if dataset else section.file,
        title=section.title + (f", {dataset_label(dataset)}" if dataset else ""),
        costs=section.costs,
    )
    settings = settings_of(rows)
    if section.storage:
        _add_storage(e, settings, table)
    add_fact_columns(e, settings, section.facts, table.shown, table.raw)
    if section.reported:
        _add_reported(section, settings, owner, table)
    table.notes += section.notes
    return table


def _columns(section: OptionTable, rows: pd.DataFrame) -> tuple[Column, ...]:
    """The declared metrics that have values; all of them when none has."""
    if not section.columns:
        return QUALITY
    declared = columns_of(section.columns)
    known = [column for column in declared if wide(rows, column).notna().any(axis=None)]
    return tuple(known) or declared


def _add_storage(e: Evidence, settings: list[Setting], table: Table) -> None:
    """Megabytes of stored weights, and how many times smaller than in fp32 and in bf16."""
    listed = []
    for setting in settings:
        cost = e.profile_of(setting)
        if cost is None or not cost.weight_bytes > 0:
            listed.append((math.nan, math.nan, math.nan))
        else:
            listed.append((cost.weight_bytes, cost.parameters, cost.peak_rss_bytes))
    stored = pd.DataFrame(listed, columns=["weight_bytes", "parameters", "peak_rss_bytes"])
    for name in stored:
        table.raw[f"stored/{name}"] = stored[name].to_numpy()
    table.shown["weights (MB)"] = [number(b / 1e6, ".2f") for b in stored["weight_bytes"]]
    for precision, size in BYTES.items():
        ratio = size * stored["parameters"] / stored["weight_bytes"]
        table.shown[f"× smaller than {precision}"] = [number(r, ".2f") for r in ratio]


def _add_reported(section: OptionTable, settings: list[Setting], owner: str, table: Table) -> None:
    """A paper's own numbers beside the rows with the values of the option that it used."""
    columns = dict.fromkeys(column for row in section.reported.values() for column in row)
    for column in columns:
        texts = []
        for setting in settings:
            own = setting.method == owner
            paper = section.reported.get(_key(setting, section.option)) if own else None
            texts.append(MISSING if paper is None else f"({paper[column]:g})")
        table.shown[f"reported {column}"] = texts
    for reported in all_reported():
        if section.file in reported.tables:
            table.notes.append(
                f"Values in (parentheses) are reported by {reported.paper}, "
                f"{reported.tables[section.file]}, in units and at a scale that it does not state."
            )


def _key(setting: Setting, option: str) -> bool | int | float | str:
    """The value of an option as a key; lists as JSON."""
    value = setting.values.get(option)
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


SECTION = Section("option_tables", 60, "options", frame_tables=option_tables)
