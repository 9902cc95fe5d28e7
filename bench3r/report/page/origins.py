"""Where a cell of a table comes from: its row's raw values, and the records behind them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import pandas as pd

from bench3r.report.evidence import Evidence
from bench3r.report.page.binding import is_reported
from bench3r.report.page.shown import ShownTable
from bench3r.report.tables import Table
from bench3r.run import paths

Plain = str | int | float | bool | None
Kind = Literal["measured", "derived", "computed", "reported"]
PROVENANCE = ("device", "git", "weights", "time")
OF_MAIN = ("answer", "table2", "table2_differences", "detail")  # tables of the main comparison
COMPUTED = ("published",)  # chapters that stand on the sizes of models, where nothing runs
OF_CELLS = ("options", "backbone", "dataset", "frames", "seed")  # what raw rows say of records
RECORDS = "records"  # the raw column of rows that name the files behind them, "; " between them
DIGITS = 7  # of raw values; the CSV has them all


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
class Origins:
    """Origins of tables, with every source once."""

    evidence: Sequence[Evidence]
    sources: list[Source] = field(default_factory=list)
    _known: dict[tuple[str, ...], int] = field(default_factory=dict)

    def of_table(self, table: Table, shown: ShownTable) -> TableOrigins:
        """The origins of the cells of ``table``, which the page shows as ``shown``."""
        own = self._evidence_of(table)
        cells = cells_of(records_of(table, own))
        kinds: list[Kind] = []
        sources = []
        for place, raw_places in enumerate(shown.places):
            kind: Kind = "derived"
            source = -1
            if is_reported(table.shown.iloc[place]):
                kind = "reported"
            elif RECORDS in table.raw:
                source = self._given(table.raw[RECORDS].iloc[raw_places], cells)
                kind = "measured" if source >= 0 else "derived"
            elif table.chapter in COMPUTED:
                kind = "computed"
            else:
                source = self._source(table.raw.iloc[raw_places], cells, own)
                kind = "measured" if source >= 0 else "derived"
            kinds.append(kind)
            sources.append(source)
        return {
            "name": table.name,
            "columns": list(map(str, table.raw.columns)),
            "rows": [list(map(plain, row)) for row in table.raw.itertuples(index=False)],
            "places": shown.places,
            "bound": shown.bound,
            "kinds": kinds,
            "sources": sources,
        }

    def _evidence_of(self, table: Table) -> list[Evidence]:
        """The frame count that the name of ``table`` ends with, else all of them."""
        own = [e for e in self.evidence if e.suffix and table.name.endswith(e.suffix)]
        return own or list(self.evidence)

    def _source(self, raw: pd.DataFrame, cells: pd.DataFrame, evidence: list[Evidence]) -> int:
        """The place of the records behind raw rows; -1 when they have none."""
        found = [cells_behind(row, cells) for _, row in raw.iterrows()]
        behind = pd.concat(found) if found else cells.head(0)
        if behind.empty:
            return -1
        behind = behind.drop_duplicates("cell")
        costs = cost_files(behind, evidence)
        key = (*behind["cell"], *costs)
        if key not in self._known:
            self._known[key] = len(self.sources)
            self.sources.append(self._made(behind, costs))
        return self._known[key]

    def _given(self, named: pd.Series, cells: pd.DataFrame) -> int:
        """The place of the files that raw rows name themselves; -1 when they name none."""
        words = [word for text in named.astype(str) for word in text.split("; ")]
        files = [word for word in dict.fromkeys(words) if word.startswith(f"{paths.RESULTS}/")]
        if not files:
            return -1
        key = tuple(files)
        if key not in self._known:
            stems = {Path(file).stem for file in files}
            made = self._made(cells[cells["cell"].isin(stems)] if len(cells) else cells, [])
            costs = [file for file in files if "/profile/" in file]
            scores = [file for file in files if file not in costs]
            self._known[key] = len(self.sources)
            self.sources.append({**made, "scores": scores, "costs": costs})
        return self._known[key]

    def _made(self, behind: pd.DataFrame, costs: list[str]) -> Source:
        run = self.evidence[0].plan.name
        files: list[str] = []
        for cell in behind.get("cell", []):
            files += [str(paths.predicted(run, cell)), str(paths.scored(run, cell))]
        facts = {}
        for name in PROVENANCE:
            values = sorted(map(str, behind[name].dropna().unique())) if name in behind else []
            if values:
                facts[name] = values
        return {"scores": files, "costs": costs, "facts": facts}


def records_of(table: Table, evidence: Sequence[Evidence]) -> pd.DataFrame:
    """The records that ``table`` was made from, as its name says.

    Those of the main comparison, of one dataset in it, or of an ablation; else all.
    """
    found = []
    for e in evidence:
        name = table.name.removesuffix(e.suffix) if e.suffix else table.name
        ablation = name.removeprefix("ablation_")
        rows = e.table
        if name in OF_MAIN:
            rows = e.rows_of("main")
        elif name.startswith("dataset_"):
            main = e.rows_of("main")
            rows = main[main["dataset"].eq(name.removeprefix("dataset_"))]
        elif ablation in e.ablations:
            rows = e.rows_of(ablation)
        found.append(rows)
    return pd.concat(found) if found else pd.DataFrame()


def cells_of(records: pd.DataFrame) -> pd.DataFrame:
    """One row per cell of ``records``, the last one that was measured."""
    return records.drop_duplicates("cell", keep="last") if len(records) else records


def cells_behind(row: pd.Series, cells: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``cells`` that a raw row speaks of; none where it names no method."""
    names = {str(row[name]) for name in ("method", "label") if known(row.get(name))}
    if cells.empty or not names:
        return cells.head(0)
    found = cells[cells["method"].isin(names) | cells["label"].isin(names)]
    for name in OF_CELLS:
        if known(row.get(name)) and name in found:
            found = found[found[name].astype(str).eq(str(row[name]))]
    return found


def cost_files(cells: pd.DataFrame, evidence: Iterable[Evidence]) -> list[str]:
    """The cost records of the settings of ``cells`` at the frame counts of ``evidence``."""
    names = ["method", "backbone", "options"]
    settings = set(cells[names].itertuples(index=False, name=None))
    files: list[str] = []
    for e in evidence:
        for cost in e.costs:
            own = (cost.method, cost.backbone, cost.options) in settings
            if own and cost.frames == e.frames and cost.cell:
                files.append(str(e.record_of(cost)))
    return list(dict.fromkeys(files))


def known(value: object) -> bool:
    """Whether a raw value is there; lists and dictionaries always are."""
    return isinstance(value, list | dict) or not pd.isna(value)


def plain(value: object) -> Plain:
    """A raw value as JSON knows it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)
    if not known(value):
        return None
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value if isinstance(value, str | int | bool) else str(value)
