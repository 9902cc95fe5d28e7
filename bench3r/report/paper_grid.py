"""A paper's table filled with our numbers, cell by cell, or the reason why a cell has none."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from bench3r.protocols import PROTOCOLS
from bench3r.report.claims.ledger import ledger
from bench3r.report.columns import column_of
from bench3r.report.cost_columns import unchanged_flops
from bench3r.report.evidence import Evidence, RunEvidence, Setting
from bench3r.report.layouts import PaperColumn, PaperRow, PaperTable
from bench3r.report.memo import once_per_table
from bench3r.report.names import dataset_label, plain
from bench3r.report.settings import settings_of
from bench3r.report.summary import common_scenes, keys_of, of_scenes
from bench3r.report.tables import MISSING, number

NO_METHOD = "not among the methods here"
Printed = float | str | None


class Cell(NamedTuple):
    """One cell: the paper's entry, ours (NaN where there is none), why, and on how many scenes."""

    printed: Printed
    ours: float
    why: str = ""
    scenes: int = 0
    digits: int | None = None

    @property
    def text(self) -> str:
        """Ours, the paper's in parentheses."""
        own = self.ours
        shown = number(own, ".3g" if self.digits is None else f".{self.digits}f")
        if self.printed is None:
            return shown
        paper = self.printed if isinstance(self.printed, str) else f"{self.printed:g}"
        return f"{shown} ({paper})"


@dataclass
class Grid:
    """A filled table of a paper."""

    table: PaperTable
    cells: list[list[Cell]]  # by row and column
    settings: list[Setting | None]  # ours, by row

    @property
    def all_cells(self) -> list[Cell]:
        """Row by row."""
        return [cell for row in self.cells for cell in row]

    @property
    def planned(self) -> int:
        """Cells that the paper prints."""
        return sum(cell.printed is not None for cell in self.all_cells)

    @property
    def covered(self) -> int:
        """Those of them that have our number."""
        known = [c for c in self.all_cells if c.printed is not None]
        return sum(math.isfinite(cell.ours) for cell in known)


def printed_numbers(row: PaperRow) -> list[Printed]:
    """What the paper prints in ``row``. Raises KeyError for a claim that there is not."""
    found: list[Printed] = list(row.values)
    for name in row.claims:
        found += _claimed(name)
    return found


def _claimed(name: str) -> list[Printed]:
    """The values of a claim: all of them, or those at the places of "ID[0,2]"."""
    found = re.fullmatch(r"(.+?)(?:\[([\d,]+)\])?", name)
    assert found is not None
    value = ledger().by_id[found[1]].value
    values: list[Printed] = [*value] if isinstance(value, list) else [value]
    return [values[int(place)] for place in found[2].split(",")] if found[2] else values


def fill(run: RunEvidence, table: PaperTable) -> Grid:
    """``table`` with the numbers of ``run``."""
    settings = [_setting(run.first, row) for row in table.rows]
    columns = []
    for place, column in enumerate(table.columns):
        columns.append(_column(run, table, settings, column, place))
    cells = [list(row) for row in zip(*columns, strict=True)]
    return Grid(table, cells, settings)


def _setting(e: Evidence, row: PaperRow) -> Setting | None:
    """The setting that stands for ``row``: one of the main comparison before others."""
    found = []
    for part in (e.rows_of("main"), e.table):
        for setting in settings_of(part):
            same = setting.method == row.method and row.backbone in ("", setting.backbone)
            if same and row.options.items() <= setting.values.items():
                found.append(setting)
    return found[0] if found else None


def _column(
    run: RunEvidence,
    table: PaperTable,
    settings: list[Setting | None],
    column: PaperColumn,
    place: int,
) -> list[Cell]:
    """The cells of one column."""
    e = _evidence(run, column)
    known = [setting for setting in settings if setting is not None]
    rows = pd.DataFrame() if e is None else _rows(e, column, known)
    scenes = pd.Index([]) if rows.empty else common_scenes(rows)
    cells = []
    for row, setting in zip(table.rows, settings, strict=True):
        printed = printed_numbers(row)[place]
        why = column.why or row.why or ("" if row.method else NO_METHOD)
        if not why and setting is None:
            why = "the method, or this option of it, is not in this run"
        if not why and e is None:
            why = f"{column.frames:,} frames are not in this run"
        if why or e is None or setting is None:
            cells.append(Cell(printed, math.nan, why))
        elif column.cost is not None:
            cells.append(_cost(e, column, setting, scenes, printed))
        else:
            cells.append(_quality(rows, column, setting, scenes, printed))
    return cells


def _evidence(run: RunEvidence, column: PaperColumn) -> Evidence | None:
    """That of the column's frame count; of the first one where it names none."""
    if column.frames is None:
        return run.first
    return next((e for e in run.by_frames if e.frames == column.frames), None)


def _rows(e: Evidence, column: PaperColumn, settings: list[Setting]) -> pd.DataFrame:
    """Scores of ``settings`` on the dataset of ``column``, or on those of the main comparison."""
    datasets = [column.dataset] if column.dataset else e.rows_of("main")["dataset"].unique()
    return _rows_on(e.table, tuple(datasets), tuple(settings))


@once_per_table
def _rows_on(
    table: pd.DataFrame, datasets: tuple[str, ...], settings: tuple[Setting, ...]
) -> pd.DataFrame:
    rows = table[table["dataset"].isin(datasets)]
    places = {setting.place for setting in settings}
    return rows[[key.place in places for key in keys_of(rows)]]


def _quality(
    rows: pd.DataFrame,
    column: PaperColumn,
    setting: Setting,
    scenes: pd.Index,
    printed: Printed,
) -> Cell:
    """The mean of a metric over the scenes that all rows of the table have."""
    if column.dataset and rows.empty:
        return Cell(printed, math.nan, f"{dataset_label(column.dataset)} is not in this run")
    metric = column_of(column.metric)
    values = of_scenes(rows, metric, scenes)
    own = values[setting].dropna() if setting in values.columns else pd.Series(dtype=float)
    if own.empty:
        label = PROTOCOLS.get(metric.protocol).title
        return Cell(printed, math.nan, f"not scored by {label} in this run")
    digits = metric.digits if column.times == 1 else None
    return Cell(printed, float(own.mean()) * column.times, "", len(own), digits)


def _cost(
    e: Evidence, column: PaperColumn, setting: Setting, scenes: pd.Index, printed: Printed
) -> Cell:
    """What the profile stage measured, FLOPs as counted on the scenes."""
    if column.dataset and scenes.empty:
        return Cell(printed, math.nan, f"{dataset_label(column.dataset)} is not in this run")
    cost = e.profile_of(setting)
    value = math.nan
    if column.cost == "saved_flops":
        value = 1 - e.flops_on_scenes(setting, scenes) / unchanged_flops(e, setting, scenes)
    elif column.cost == "flops":
        value = e.flops_on_scenes(setting, scenes)
        if not math.isfinite(value) and cost is not None:
            value = cost.flops
    elif cost is not None:
        value = cost.median_seconds if column.cost == "time" else cost.peak_bytes
    if not math.isfinite(value):
        return Cell(printed, math.nan, f"its {plain(column.cost or '')} was not measured")
    return Cell(printed, value * column.times, "", len(cost.seconds) if cost else 0)


def grid_frame(grid: Grid) -> pd.DataFrame:
    """The grid as shown: a row's label, and every column of the paper."""
    titles = [column.title for column in grid.table.columns]
    listed = []
    for row, cells in zip(grid.table.rows, grid.cells, strict=True):
        texts = [cell.text if cell.printed is not None else MISSING for cell in cells]
        listed.append({"method": row.label} | dict(zip(titles, texts, strict=True)))
    return pd.DataFrame(listed)


def grid_numbers(grid: Grid) -> pd.DataFrame:
    """The grid as raw rows: one for each cell."""
    listed = []
    for row, cells, setting in zip(grid.table.rows, grid.cells, grid.settings, strict=True):
        for column, cell in zip(grid.table.columns, cells, strict=True):
            listed.append(
                {
                    "row": row.label,
                    "column": column.title,
                    "method": setting.method if setting else "",
                    "backbone": setting.backbone if setting else "",
                    "options": setting.options if setting else "",
                    "measured": cell.ours,
                    "n": cell.scenes,
                    "printed": cell.printed,
                    "why_missing": cell.why,
                }
            )
    return pd.DataFrame(listed)
