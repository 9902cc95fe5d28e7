"""Columns that are made from facts: what methods record of every scene."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from bench3r.api.presentation import FactColumn
from bench3r.report.evidence import Evidence, Setting
from bench3r.report.tables import MISSING, number


def fact_values(e: Evidence, setting: Setting, columns: Iterable[FactColumn]) -> dict[str, object]:
    """The raw values of ``setting``, by the names of the columns in the CSV."""
    rows = e.facts_of(setting)
    return {column.name or column.fact: _value(rows, column) for column in columns}


def fact_texts(e: Evidence, setting: Setting, columns: Iterable[FactColumn]) -> dict[str, str]:
    """The values of ``setting`` as shown, by the heads of the columns."""
    rows = e.facts_of(setting)
    return {column.title: _text(rows, column) for column in columns}


def add_fact_columns(
    e: Evidence,
    settings: list[Setting],
    columns: Iterable[FactColumn],
    shown: pd.DataFrame,
    raw: pd.DataFrame,
) -> None:
    """Add ``columns`` to a table whose rows are ``settings``."""
    for column in columns:
        facts = [e.facts_of(setting) for setting in settings]
        raw[column.name or column.fact] = [_value(rows, column) for rows in facts]
        shown[column.title] = [_text(rows, column) for rows in facts]


def _value(rows: pd.DataFrame, column: FactColumn) -> object:
    values = rows[column.fact]
    if column.how == "count":
        return int(values.eq(True).sum())
    if rows.empty:
        return math.nan
    if column.how == "first":
        return values.iloc[0]
    if column.how == "ratio":
        values = pd.to_numeric(values) / pd.to_numeric(rows[column.over])
    return float(pd.to_numeric(values).mean())


def _text(rows: pd.DataFrame, column: FactColumn) -> str:
    value = _value(rows, column)
    if column.how == "count":
        return f"{value}/{len(rows)}"
    if isinstance(value, int | float):
        return number(value, column.form)
    return MISSING if pd.isna(value) else str(value)
