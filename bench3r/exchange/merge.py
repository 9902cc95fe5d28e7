"""Results of several runs, machines and people in one table; never mixed where rules or frames differ.

Every source is a result folder, a records file with its profiles beside it, or a bundle. Rows of different sources stand in
one table only when they were scored by the same rules (hashes of the protocols) on the same frames (hash of the frame lists)
at the same scale; means are over the scenes that all rows of a table finished. Costs carry their device and are not ranked.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench3r.api.errors import Bench3RError
from bench3r.exchange.bundle import RECORDS
from bench3r.exchange.compare import read_records
from bench3r.files import read_jsonl, write_json, write_text
from bench3r.report.summary import (
    SETTING,
    Column,
    common_scenes,
    counts,
    settings,
    weights_of,
    wide,
)
from bench3r.report.tables import DETAIL, QUALITY, Table, cost_cells, name_of, quality_cells

PROFILES = "profiles.jsonl"
COLUMNS = (*QUALITY, *DETAIL)


@dataclass
class Source:
    """One run to be merged."""

    name: str
    path: Path
    table: pd.DataFrame
    profiles: pd.DataFrame

    def about(self) -> dict[str, Any]:
        """Where its numbers come from, for the manifest."""
        facts = {
            c: sorted(map(str, self.table[c].dropna().unique()))
            for c in ("device", "git", "scale")
            if c in self.table
        }
        file = self.path / RECORDS if self.path.is_dir() else self.path
        return {
            "name": self.name,
            "file": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            **facts,
        }


def read_sources(paths: list[Path]) -> list[Source]:
    """The runs at ``paths``, named after their files or folders. Raises Bench3RError for fewer than two."""
    if len(paths) < 2:
        raise Bench3RError(f"merge: expected at least two sources, got {len(paths)}")
    out: list[Source] = []
    for path in paths:
        table = read_records(path)  # verifies a bundle
        name = path.resolve().stem if path.is_file() else path.resolve().name
        taken = {s.name for s in out}
        name = next(
            n for n in (name, *(f"{name}-{i}" for i in range(2, len(paths) + 2))) if n not in taken
        )
        out.append(Source(name, path, table, _profiles(path)))
    return out


def _profiles(path: Path) -> pd.DataFrame:
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as bundle:
            text = bundle.read(PROFILES).decode() if PROFILES in bundle.namelist() else ""
        return pd.DataFrame([json.loads(line) for line in text.splitlines() if line])
    beside = (path if path.is_dir() else path.parent) / PROFILES
    return pd.DataFrame(read_jsonl(beside))


def rules_of(table: pd.DataFrame) -> pd.Series:
    """What rows of ``table`` must share to stand in one table: data, frames, scale and the rules of each protocol."""
    wanted = table[table["protocol"].isin({c.protocol for c in COLUMNS})]
    key = ["dataset", "frames", "scale", "lists_sha256"]
    hashes = wanted.groupby(key)[["protocol", "protocol_hash"]].apply(
        lambda g: json.dumps(
            sorted(map(list, g.drop_duplicates().dropna().itertuples(index=False, name=None)))
        )
    )
    return hashes


def merge(sources: list[Source]) -> list[Table]:
    """One table per group of sources that can be compared, and one that says what could not be.

    Raises Bench3RError when no two sources share data, frames, scale and rules.
    """
    groups: dict[tuple[str, ...], list[Source]] = {}
    for source in sources:
        for key, rules in rules_of(source.table).items():
            groups.setdefault((*map(str, key), str(rules)), []).append(source)  # type: ignore[arg-type]
    shared = {k: s for k, s in groups.items() if len(s) > 1}
    if not shared:
        raise Bench3RError(
            "merge: no two sources share data, frames, scale and scoring rules; nothing can stand in one table"
        )
    tables = [_table(key, group, number) for number, (key, group) in enumerate(shared.items(), 1)]
    alone = [
        {
            "source": group[0].name,
            "dataset": key[0],
            "frames": key[1],
            "scale": key[2],
            "frame lists": key[3][:12],
        }
        for key, group in groups.items()
        if len(group) == 1
    ]
    if alone:
        rows = pd.DataFrame(alone)
        tables.append(
            Table(
                "not_merged",
                "Not merged",
                "Other frames, another scale or other scoring rules than any other source has.",
                rows,
                rows,
            )
        )
    return tables


def _table(key: tuple[str, ...], group: list[Source], number: int) -> Table:
    dataset, frames, scale, lists, _ = key
    parts, names, costs = [], {}, {}
    for source in group:
        own = source.table
        same = own["dataset"].astype(str).eq(dataset) & own["frames"].astype(str).eq(frames)
        own = own[same & own["scale"].eq(scale) & own["lists_sha256"].eq(lists)]
        for _, row in settings(own).iterrows():
            marked = row.copy()
            marked["method"] = (
                f"{row['method']}@{source.name}"  # another row than the same method of another source
            )
            setting = tuple(marked[SETTING])
            names[setting] = (name_of(row, own), source.name)
            costs[setting] = _cost(source, row, int(frames))
        parts.append(own.assign(method=own["method"] + f"@{source.name}"))
    rows_of_all = pd.concat(parts, ignore_index=True)
    rows, common = settings(rows_of_all), common_scenes(rows_of_all)
    keys = [tuple(r) for r in rows[SETTING].to_numpy()]
    shown = pd.DataFrame(
        {"method": [names[k][0] for k in keys], "source": [names[k][1] for k in keys]}
    )
    raw = rows.assign(source=shown["source"])
    for column in (c for c in COLUMNS if wide(rows_of_all, c).notna().any(axis=None)):
        _add_column(shown, raw, rows_of_all, column, rows, common)
    shown["Time (s)"] = [costs[k][0] for k in keys]
    shown["device"] = raw["device"] = [costs[k][1] for k in keys]
    tally = [counts(rows_of_all, k) for k in keys]
    shown["n/N"] = [f"{n}/{total}" for n, total in tally]
    listed = ", ".join(s.name for s in group)
    about = (
        f"{dataset}, {frames} frames, scale `{scale}`, frame lists {lists[:12]}; sources: {listed}."
    )
    notes = [
        f"Means over the {len(common)} scenes that every row finished; †: tied with the best. All rows were scored by "
        "the same rules on the same frames. Times are of the device beside them and are not compared."
    ]
    return Table(
        f"merged_{number}_{dataset}",
        f"Merged: {dataset}, {frames} frames, {scale}",
        about,
        shown,
        raw,
        notes,
    )


def _add_column(
    shown: pd.DataFrame,
    raw: pd.DataFrame,
    table: pd.DataFrame,
    column: Column,
    rows: pd.DataFrame,
    common: pd.Index,
) -> None:
    values, keys = wide(table, column), [tuple(r) for r in rows[SETTING].to_numpy()]
    cells, numbers = quality_cells(
        values[values.index.isin(common)], column, rows, weights_of(table, column)
    )
    shown[column.title] = [cells[k] for k in keys]
    for part in ("mean", "low", "high", "tied_with_best"):
        raw[f"{column.protocol}/{column.metric}/{part}"] = [numbers[k].get(part) for k in keys]


def _cost(source: Source, setting: pd.Series, frames: int) -> tuple[str, str]:
    """Time of a setting in its source and the device that it was measured on."""
    found = cost_cells(source.profiles, setting, frames)
    own = source.table[source.table["method"].eq(setting["method"])]
    device = ", ".join(sorted(map(str, own["device"].dropna().unique()))) or "unknown"
    return str(found.get("time_text", "–")), device


def write_merged(sources: list[Source], out: Path) -> list[Table]:
    """Write merged.md, its tables, all records with their source, and where they come from, into the folder ``out``.

    Raises Bench3RError when ``out`` holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Bench3RError(f"{out}: exists and is not an empty folder; nothing is overwritten")
    tables = merge(sources)
    for table in tables:
        table.write(out / "tables")
    write_json(out / "sources.json", [s.about() for s in sources])
    pd.concat([s.table.assign(source=s.name) for s in sources], ignore_index=True).to_parquet(
        out / RECORDS
    )
    write_text(
        out / "merged.md",
        "\n".join(["# Results of several runs\n", *(t.markdown() for t in tables)]),
    )
    return tables
