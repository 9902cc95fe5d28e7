"""Tables as the page's template writes them: cells as HTML, raw values to sort by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench3r.report.page.binding import is_reported, raw_columns, raw_places
from bench3r.report.page.encoding import cell_html, slug
from bench3r.report.tables import Table

LOWER = ("time", "flops", "memory", "seconds", "parameters", "energy", "latency", "peak", "macs")
HIGHER = ("saved", "saving", "speed-up", "fewer")


class Head(NamedTuple):
    """A column's name, and which end of it is the better one ("lower", "higher", "")."""

    text: str
    better: str


class ShownCell(NamedTuple):
    """A cell; ``raw`` is the value that it sorts by, "" where its text has to do."""

    html: str
    raw: str


class ShownRow(NamedTuple):
    """A row: the baseline that a filter keeps, one of ours, or one that a paper reports."""

    kind: str  # "baseline", "", "reported"
    cells: list[ShownCell]


class ShownTable(NamedTuple):
    """A table as the template writes it; texts are HTML."""

    id: str
    title: str
    about: str
    heads: list[Head]
    rows: list[ShownRow]
    notes: list[str]
    places: list[list[int]]  # by row those of the raw rows behind it
    bound: dict[int, int]  # by column the raw column behind it


def shown_table(table: Table) -> ShownTable:
    """``table`` with what stands behind its cells."""
    places = raw_places(table)
    bound = raw_columns(table, places)
    raw = table.raw.to_numpy(object)
    kinds = table.raw["kind"].tolist() if "kind" in table.raw else []
    rows = []
    for behind, row in zip(places, table.shown.itertuples(index=False, name=None), strict=True):
        own = behind[0] if len(behind) == 1 else None
        kind = kinds[own] if kinds and own is not None else ""
        cells = _cells(row, {} if own is None else {c: raw[own, r] for c, r in bound.items()})
        rows.append(ShownRow(_kind(row, kind), cells))
    return ShownTable(
        id=f"table-{slug(table.name)}",
        title=table.title,
        about=cell_html(table.caption),
        heads=[Head(str(title), better_end(str(title))) for title in table.shown.columns],
        rows=rows,
        notes=list(map(cell_html, table.notes)),
        places=places,
        bound=bound,
    )


def better_end(title: str) -> str:
    """Which end of a column is better: as its arrow says, or as costs and savings go."""
    for arrow, better in (("↓", "lower"), ("↑", "higher")):
        if arrow in title:
            return better
    words = title.lower()
    if any(word in words for word in HIGHER):
        return "higher"
    return "lower" if words.startswith(LOWER) else ""


def _cells(row: Sequence[object], raw: dict[int, object]) -> list[ShownCell]:
    """The cells of a shown row, with the raw values of columns that have one."""
    return [ShownCell(cell_html(text), _key(raw.get(place))) for place, text in enumerate(row)]


def _kind(row: Sequence[object], kind: object) -> str:
    if is_reported(row):
        return "reported"
    return "baseline" if kind == "backbone" else ""


def _key(value: object) -> str:
    """A raw number to nine digits; a table sorts by it."""
    if isinstance(value, int | float | np.number) and math.isfinite(value):
        return f"{value:.9g}"
    return ""
