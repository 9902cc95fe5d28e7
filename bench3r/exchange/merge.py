"""Results of several runs, machines and people in one table.

Every source is a result folder, a records file with its profiles beside it, or a bundle. Rows of
different sources stand in one table only when they were scored by the same rules (hashes of the
protocols) on the same frames (hash of the frame lists) at the same scale; means are over the scenes
that all rows of a table finished. Costs carry their device and are not ranked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench3r.api.errors import Bench3RError
from bench3r.exchange.bundle import RECORDS
from bench3r.exchange.source import read_costs, read_table
from bench3r.files import write_json, write_text
from bench3r.report.cells import Scores, interval_notes, raw_values
from bench3r.report.columns import DETAIL, QUALITY, Column
from bench3r.report.evidence import SETTING, CostRow, Setting
from bench3r.report.names import name_of
from bench3r.report.settings import settings_of
from bench3r.report.summary import common_scenes, counts, of_scenes, weights_of, wide
from bench3r.report.tables import Table
from bench3r.report.time_columns import HOW, RATIO, SECONDS, TimeCell, time_cell

COLUMNS = (*QUALITY, *DETAIL)
PROTOCOLS = {column.protocol for column in COLUMNS}
PARTS = ("mean", "low", "high", "n", "tied_with_best")  # of a column, in raw rows
NOTE = (
    "All rows were scored by the same rules on the same frames. Seconds are of the device beside "
    f"them and are not compared; {RATIO}: over the source's own unchanged backbone, {HOW}."
)


@dataclass
class Source:
    """One run to be merged."""

    name: str
    path: Path
    table: pd.DataFrame
    costs: list[CostRow]

    def about(self) -> dict[str, str | list[str]]:
        """Where its numbers come from, for the manifest."""
        file = self.path / RECORDS if self.path.is_dir() else self.path
        facts: dict[str, str | list[str]] = {
            "name": self.name,
            "file": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for column in ("device", "git", "scale"):
            if column in self.table:
                facts[column] = sorted(map(str, self.table[column].dropna().unique()))
        return facts

    def cost_of(self, setting: Setting, frames: int) -> CostRow | None:
        """What the profile stage says of ``setting``; None where nothing was planned."""
        wanted = (setting.method, setting.backbone, setting.options, frames)
        for cost in self.costs:
            if (cost.method, cost.backbone, cost.options, cost.frames) == wanted:
                return cost
        return None

    def device_of(self, setting: Setting) -> str:
        """Where the method of ``setting`` ran."""
        own = self.table[self.table["method"].eq(setting.method)]
        return ", ".join(sorted(map(str, own["device"].dropna().unique()))) or "unknown"


class Rules(NamedTuple):
    """What rows must share to stand in one table."""

    dataset: str
    frames: str
    scale: str
    lists: str  # hash of the frame lists
    protocols: str  # names and hashes of the scoring rules, as JSON


class Row(NamedTuple):
    """A row of a merged table."""

    setting: Setting  # its method is METHOD@SOURCE: another than that of another source
    name: str
    source: str
    time: TimeCell
    device: str


def read_sources(paths: list[Path]) -> list[Source]:
    """The runs at ``paths``, named after their files or folders.

    Raises Bench3RError for fewer than two, and for files that hold no records.
    """
    if len(paths) < 2:
        raise Bench3RError(f"merge: expected at least two sources, got {len(paths)}")
    out: list[Source] = []
    for path in paths:
        table = read_table(path)  # verifies a bundle
        name = path.resolve().stem if path.is_file() else path.resolve().name
        name = _free_name(name, {source.name for source in out})
        out.append(Source(name, path, table, read_costs(path)))
    return out


def _free_name(name: str, taken: set[str]) -> str:
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def rules_of(table: pd.DataFrame) -> list[Rules]:
    """The rules that rows of ``table`` stand on: data, frames, scale and those of each protocol."""
    wanted = table[table["protocol"].isin(PROTOCOLS)]
    out = []
    for key, rows in wanted.groupby(["dataset", "frames", "scale", "lists_sha256"]):
        dataset, frames, scale, lists = map(str, key)
        hashes = rows[["protocol", "protocol_hash"]].drop_duplicates().dropna()
        protocols = sorted(map(list, hashes.itertuples(index=False, name=None)))
        out.append(Rules(dataset, frames, scale, lists, json.dumps(protocols)))
    return out


def merge(sources: list[Source]) -> list[Table]:
    """One table per group of sources that can be compared, and one of what could not be.

    Raises Bench3RError when no two sources share data, frames, scale and rules.
    """
    groups: dict[Rules, list[Source]] = {}
    for source in sources:
        for rules in rules_of(source.table):
            groups.setdefault(rules, []).append(source)
    tables: list[Table] = []
    alone: list[dict[str, str]] = []
    for rules, group in groups.items():
        if len(group) > 1:
            tables.append(_table(rules, group, len(tables) + 1))
        else:
            alone.append(_alone(rules, group[0]))
    if not tables:
        shared = "data, frames, scale and scoring rules"
        raise Bench3RError(f"merge: no two sources share {shared}; nothing can stand in one table")
    if alone:
        rows = pd.DataFrame(alone)
        why = "Other frames, another scale or other scoring rules than any other source has."
        tables.append(Table("not_merged", "Not merged", why, rows, rows))
    return tables


def _alone(rules: Rules, source: Source) -> dict[str, str]:
    return {
        "source": source.name,
        "dataset": rules.dataset,
        "frames": rules.frames,
        "scale": rules.scale,
        "frame lists": rules.lists[:12],
    }


def _table(rules: Rules, group: list[Source], number: int) -> Table:
    """The sources of ``group``, which all stand on the same ``rules``."""
    parts: list[pd.DataFrame] = []
    rows: list[Row] = []
    for source in group:
        part = _part(source, rules)
        rows += _rows(source, part, int(rules.frames))
        parts.append(part.assign(method=part["method"] + f"@{source.name}"))
    table = pd.concat(parts, ignore_index=True)
    common = common_scenes(table)
    listed = pd.DataFrame(rows)
    settings = list(listed["setting"])
    shown = listed[["name", "source"]].rename(columns={"name": "method"})
    raw = pd.DataFrame(settings, columns=SETTING).assign(source=listed["source"])
    sizes = set()
    for column in COLUMNS:
        sizes.add(_add_column(column, table, settings, shown, raw))
    shown[RATIO] = [time.ratio for time in listed["time"]]
    shown[SECONDS] = [time.seconds for time in listed["time"]]
    shown["device"] = listed["device"]
    raw["device"] = listed["device"]
    shown["n/N"] = ["{}/{}".format(*counts(table, s)) for s in settings]
    names = ", ".join(listed["source"].unique())
    about = f"{rules.dataset}, {rules.frames} frames, scale `{rules.scale}`"
    return Table(
        name=f"merged_{number}_{rules.dataset}",
        title=f"Merged: {rules.dataset}, {rules.frames} frames, {rules.scale}",
        caption=f"{about}, frame lists {rules.lists[:12]}; sources: {names}.",
        shown=shown,
        raw=raw,
        notes=[
            f"Means over the {len(common)} scenes that every row finished. {NOTE}",
            *interval_notes(sizes),
        ],
    )


def _add_column(
    column: Column,
    table: pd.DataFrame,
    settings: list[Setting],
    shown: pd.DataFrame,
    raw: pd.DataFrame,
) -> int:
    """Add ``column`` to the shown and the raw rows, where ``table`` has values of it.

    Returns the number of scenes that it is a mean of.
    """
    if not wide(table, column).notna().any(axis=None):
        return 0
    values = of_scenes(table, column, common_scenes(table))
    scores = Scores(values, column, weights_of(table, column))
    cells = [scores.cell(setting) for setting in settings]
    shown[column.title] = [cell.text for cell in cells]
    for part in PARTS:
        raw[f"{column.key}/{part}"] = raw_values(cells, part)
    return scores.scenes


def _part(source: Source, rules: Rules) -> pd.DataFrame:
    """The records of ``source`` that stand on ``rules``."""
    own = source.table
    same = own["dataset"].astype(str).eq(rules.dataset) & own["scale"].eq(rules.scale)
    same &= own["frames"].astype(str).eq(rules.frames) & own["lists_sha256"].eq(rules.lists)
    return own[same]


def _rows(source: Source, part: pd.DataFrame, frames: int) -> list[Row]:
    """One row for each setting of a source, from its records ``part`` in this table."""
    out = []
    for setting in settings_of(part):
        out.append(
            Row(
                setting=setting._replace(method=f"{setting.method}@{source.name}"),
                name=name_of(setting, part),
                source=source.name,
                time=time_cell(source.cost_of(setting, frames)),
                device=source.device_of(setting),
            )
        )
    return out


def write_merged(sources: list[Source], out: Path) -> list[Table]:
    """Write merged.md, its tables, all records with their source, and the sources, into ``out``.

    Raises Bench3RError when ``out`` holds something already, and when nothing can be merged.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Bench3RError(f"{out}: exists and is not an empty folder; nothing is overwritten")
    tables = merge(sources)
    for table in tables:
        table.write(out / "tables")
    about = []
    records = []
    for source in sources:
        about.append(source.about())
        records.append(source.table.assign(source=source.name))
    write_json(out / "sources.json", about)
    pd.concat(records, ignore_index=True).to_parquet(out / RECORDS)
    parts = ["# Results of several runs\n", *map(Table.markdown, tables)]
    write_text(out / "merged.md", "\n".join(parts))
    return tables
