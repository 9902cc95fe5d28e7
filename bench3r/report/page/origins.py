"""Where a cell of a table comes from: its row's raw values, and the records behind them."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict

import numpy as np
import pandas as pd

from bench3r.report.evidence import Evidence
from bench3r.report.page.shown import ShownTable
from bench3r.report.tables import Table
from bench3r.run import paths

Plain = str | int | float | bool | None
Raw = Mapping[Hashable, object]  # a raw row by column
Kind = Literal["measured", "derived", "computed", "reported"]
OF_MAIN = ("answer", "table2", "table2_differences", "detail")  # tables of the main comparison
COMPUTED = ("published",)  # chapters that stand on the sizes of models, where nothing runs
OF_CELLS = ("options", "backbone", "dataset", "frames", "seed")  # what raw rows say of records
MADE_BY = ("device", "git", "weights", "time")
RECORDS = "records"  # the raw column of rows that name the files behind them, "; " between them
DIGITS = 7  # of raw values; the CSV has them all


class CellFacts(NamedTuple):
    """A cell of the run: what it is, and what the last of its records says of how it was made."""

    cell: str
    method: str
    label: str
    options: str
    backbone: str
    dataset: str
    frames: object
    seed: object
    device: object
    git: object
    weights: object
    time: object


class Source(TypedDict):
    """The records behind some row: their files, and what they say of how they were made."""

    scores: list[str]
    costs: list[str]
    facts: dict[str, list[str]]


class TableOrigins(TypedDict):
    """What the dialog of a table's cells shows."""

    name: str
    columns: list[str]
    rows: list[list[Plain]]  # all raw rows
    places: list[list[int]]  # by shown row those of the raw rows behind it
    bound: dict[int, int]  # by shown column the raw column behind it
    kinds: list[Kind]  # by shown row
    sources: list[int]  # by shown row its place among the sources; -1: it has none


@dataclass
class FrameCells:
    """The cells of one frame count, and which of them tables are made from."""

    evidence: Evidence

    @cached_property
    def every(self) -> dict[str, CellFacts]:
        """All cells by name."""
        rows = self.evidence.table.reindex(columns=list(CellFacts._fields))
        rows = rows.drop_duplicates("cell", keep="last")
        return {row[0]: CellFacts._make(row) for row in rows.itertuples(index=False, name=None)}

    def of_table(self, name: str) -> list[CellFacts]:
        """Those of the main comparison, of one dataset in it, or of an ablation; else all."""
        e = self.evidence
        plain_name = name.removesuffix(e.suffix) if e.suffix else name
        ablation = plain_name.removeprefix("ablation_")
        main = {cell.id for cell in e.plan.cells if "main" in cell.tables}
        if plain_name in OF_MAIN:
            return [cell for cell in self.every.values() if cell.cell in main]
        if plain_name.startswith("dataset_"):
            dataset = plain_name.removeprefix("dataset_")
            every = self.every.values()
            return [cell for cell in every if cell.cell in main and cell.dataset == dataset]
        if ablation in e.ablations:
            own = e.rows_of(ablation)["cell"].unique()
            return [self.every[cell] for cell in own]
        return list(self.every.values())


@dataclass
class Origins:
    """Origins of tables, with every source once."""

    evidence: Sequence[Evidence]
    sources: list[Source] = field(default_factory=list)
    _known: dict[tuple[str, ...], int] = field(default_factory=dict)

    def of_table(self, table: Table, shown: ShownTable) -> TableOrigins:
        """The origins of the cells of ``table``, which the page shows as ``shown``."""
        frames = self._frames_of(table)
        cells = [cell for one in frames for cell in one.of_table(table.name)]
        raw = table.raw.to_dict("records")
        kinds: list[Kind] = []
        sources = []
        for row, places in zip(shown.rows, shown.places, strict=True):
            own = [raw[place] for place in places]
            source = -1
            if RECORDS in table.raw:
                source = self._given(own, cells)
            elif row.kind != "reported" and table.chapter not in COMPUTED:
                source = self._source(own, cells, frames)
            kinds.append(kind_of(row.kind, table.chapter, source >= 0))
            sources.append(source)
        return {
            "name": table.name,
            "columns": list(map(str, table.raw.columns)),
            "rows": [list(map(plain, row.values())) for row in raw],
            "places": shown.places,
            "bound": shown.bound,
            "kinds": kinds,
            "sources": sources,
        }

    @cached_property
    def _frames(self) -> list[FrameCells]:
        return list(map(FrameCells, self.evidence))

    def _frames_of(self, table: Table) -> list[FrameCells]:
        """The frame count that the name of ``table`` ends with, else all of them."""
        suffixed = [f for f in self._frames if f.evidence.suffix]
        own = [f for f in suffixed if table.name.endswith(f.evidence.suffix)]
        return own or self._frames

    def _source(
        self,
        raw: Sequence[Raw],
        cells: Sequence[CellFacts],
        frames: Sequence[FrameCells],
    ) -> int:
        """The place of the records behind raw rows; -1 when they have none."""
        found: dict[str, CellFacts] = {}
        for row in raw:
            found |= {cell.cell: cell for cell in cells_behind(row, cells)}
        if not found:
            return -1
        behind = list(found.values())
        costs = cost_files(behind, [one.evidence for one in frames])
        run = self.evidence[0].plan.name
        files: list[str] = []
        for cell in found:
            files += [str(paths.predicted(run, cell)), str(paths.scored(run, cell))]
        source: Source = {"scores": files, "costs": costs, "facts": made_by(behind)}
        return self._place_of((*found, *costs), source)

    def _given(self, raw: Sequence[Raw], cells: Sequence[CellFacts]) -> int:
        """The place of the files that raw rows name themselves; -1 when they name none."""
        words = [word for row in raw for word in str(row[RECORDS]).split("; ")]
        files = [word for word in dict.fromkeys(words) if word.startswith(f"{paths.RESULTS}/")]
        if not files:
            return -1
        stems = {Path(file).stem for file in files}
        costs = [file for file in files if "/profile/" in file]
        source: Source = {
            "scores": [file for file in files if file not in costs],
            "costs": costs,
            "facts": made_by([cell for cell in cells if cell.cell in stems]),
        }
        return self._place_of(tuple(files), source)

    def _place_of(self, key: tuple[str, ...], source: Source) -> int:
        """The place of ``source``, which is added when ``key`` is new."""
        if key not in self._known:
            self._known[key] = len(self.sources)
            self.sources.append(source)
        return self._known[key]


def made_by(cells: Sequence[CellFacts]) -> dict[str, list[str]]:
    """By name what the records of ``cells`` say of how they were made."""
    facts = {}
    for name in MADE_BY:
        values = {str(getattr(cell, name)) for cell in cells if known(getattr(cell, name))}
        if values:
            facts[name] = sorted(values)
    return facts


def kind_of(row: str, chapter: str, has_records: bool) -> Kind:
    """What a row's values are: as it says itself, its chapter, and whether records are known."""
    if row == "reported":
        return "reported"
    if chapter in COMPUTED:
        return "computed"
    return "measured" if has_records else "derived"


def cells_behind(row: Raw, cells: Sequence[CellFacts]) -> list[CellFacts]:
    """Those of ``cells`` that a raw row speaks of; none where it names no method."""
    names = {str(row[name]) for name in ("method", "label") if known(row.get(name))}
    if not names:
        return []
    said = {name: str(row[name]) for name in OF_CELLS if known(row.get(name))}
    found = []
    for cell in cells:
        if cell.method not in names and cell.label not in names:
            continue
        if all(str(getattr(cell, name)) == value for name, value in said.items()):
            found.append(cell)
    return found


def cost_files(cells: Sequence[CellFacts], evidence: Iterable[Evidence]) -> list[str]:
    """The cost records of the settings of ``cells`` at the frame counts of ``evidence``."""
    settings = {(cell.method, cell.backbone, cell.options) for cell in cells}
    files: list[str] = []
    for e in evidence:
        for cost in e.costs:
            own = (cost.method, cost.backbone, cost.options) in settings
            if own and cost.frames == e.frames and cost.cell:
                files.append(str(e.record_of(cost)))
    return list(dict.fromkeys(files))


def known(value: object) -> bool:
    """Whether a raw value is there; lists and dictionaries always are."""
    return isinstance(value, list | dict | tuple) or not pd.isna(value)


def plain(value: object) -> Plain:
    """A raw value as JSON knows it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, default=str)
    if not known(value):
        return None
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value if isinstance(value, str | int | bool) else str(value)
