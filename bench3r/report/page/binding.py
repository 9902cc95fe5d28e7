"""Which raw numbers stand behind the numbers that a table shows.

A table's shown cells are texts; its raw values lie beside them under other names. A raw column
stands behind a shown one when every number that is shown is its value, rounded as shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench3r.models.catalogue import label_of_network
from bench3r.report.tables import Table

SCALES = (1.0, 1e2, 1e-3, 1e-6, 1e-9, 1e3)  # raw values to the units that tables show
REPORTED = ", reported by"  # in the name of a row that repeats a paper's numbers
_NUMBER = re.compile(r"^[\s(*_+]*(-?[\d,]*\.?\d+)(?:e([-+]?\d+))?")


class Shown(NamedTuple):
    """The first number of a cell, and half of what its last digit stands for."""

    value: float
    half: float


def shown_number(text: object) -> Shown | None:
    """The number that a cell begins with; None where it begins with none."""
    found = _NUMBER.match(str(text).replace("\N{MINUS SIGN}", "-"))
    if found is None:
        return None
    digits = found[1].replace(",", "")
    power = int(found[2] or 0)
    decimals = len(digits.partition(".")[2])
    return Shown(float(digits) * 10.0**power, 0.5 * 10.0 ** (power - decimals))


def is_reported(row: Sequence[object]) -> bool:
    """Whether a shown row repeats what a paper reports."""
    return len(row) > 0 and REPORTED in str(row[0])


def raw_places(table: Table) -> list[list[int]]:
    """By shown row the places of the raw rows behind it; none for rows that papers report."""
    reported = list(map(is_reported, table.shown.itertuples(index=False, name=None)))
    own = len(reported) - sum(reported)
    if len(table.raw) != own:
        return _by_text(table, reported)
    places: list[list[int]] = []
    count = 0
    for skip in reported:
        places.append([] if skip else [count])
        count += not skip
    return places


def _by_text(table: Table, reported: list[bool]) -> list[list[int]]:
    """Raw rows that share the texts of a shown row, its first cell among them."""
    texts = table.raw.select_dtypes(exclude=["number", "bool"]).astype(str)
    if {"label", "backbone"} <= set(texts.columns):
        networks = texts["backbone"].map(label_of_network)
        texts = texts.assign(name=texts["label"] + " on " + networks)
    by_text: dict[str, list[int]] = {}
    for place, row in enumerate(texts.itertuples(index=False, name=None)):
        for text in dict.fromkeys(row):
            by_text.setdefault(text, []).append(place)
    places: list[list[int]] = []
    for skip, cells in zip(reported, table.shown.itertuples(index=False, name=None), strict=True):
        places.append([] if skip else _most_alike(list(map(str, cells)), by_text))
    return places


def _most_alike(cells: list[str], by_text: dict[str, list[int]]) -> list[int]:
    alike = dict.fromkeys(by_text.get(cells[0], []) if cells else [], 0)
    for cell in cells[1:]:
        for place in by_text.get(cell, []):
            if place in alike:
                alike[place] += 1
    most = max(alike.values(), default=0)
    return [place for place, count in alike.items() if count == most]


def raw_columns(table: Table, places: list[list[int]]) -> dict[int, int]:
    """By shown column the raw column whose values it shows, where there is one.

    Both stand in the same order, so of several candidates the next one is taken.
    """
    rows = [place for place, behind in enumerate(places) if len(behind) == 1]
    if not rows or any(len(behind) > 1 for behind in places):
        return {}
    values = _numbers(table.raw)[[places[row][0] for row in rows]]
    texts = table.shown.to_numpy(object)[rows]
    found: dict[int, int] = {}
    after = 0
    for column in range(table.shown.shape[1]):
        cells = list(map(shown_number, texts[:, column]))
        order = [*range(after, values.shape[1]), *range(after)]
        match = next((c for c in order if _agree(cells, values[:, c])), None)
        if match is not None:
            found[column] = match
            after = match + 1
    return found


def _numbers(raw: pd.DataFrame) -> np.ndarray:
    """Raw values [rows, columns] as numbers, NaN for all else."""
    rows = raw.to_numpy(object)
    found = np.full(rows.shape, np.nan)
    for place, value in np.ndenumerate(rows):
        if isinstance(value, int | float | np.number) and not isinstance(value, bool):
            found[place] = value
    return found


def _agree(cells: list[Shown | None], values: np.ndarray) -> bool:
    """Whether every shown number is its value in one unit, and no number stands for none."""
    pairs = [(cell, value) for cell, value in zip(cells, values, strict=True) if cell]
    if not pairs or not all(math.isfinite(value) for _, value in pairs):
        return False
    return any(all(_rounds(cell, value * scale) for cell, value in pairs) for scale in SCALES)


def _rounds(cell: Shown, value: float) -> bool:
    return abs(cell.value - value) <= cell.half + 1e-9 * abs(value)
