"""Records of a run wherever they lie: in a result folder, in a file, or in a bundle."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from bench3r.api.errors import Bench3RError
from bench3r.exchange.bundle import PROFILES, RECORDS, verify
from bench3r.files import read_jsonl
from bench3r.report.evidence import CostRow

# what makes two scores of a scene the same measurement in two runs
COMPARED = [
    "method",
    "label",
    "options",
    "backbone",
    "scale",
    "dataset",
    "frames",
    "protocol",
    "metric",
]
# what must agree for two scores to be compared, and what a difference in it means
SAME = {"protocol_hash": "other scoring rules", "lists_sha256": "other frames"}


def read_table(source: Path) -> pd.DataFrame:
    """The tidy table of a result folder, of a parquet or CSV file, or of a bundle.

    The hashes of a bundle are checked first. Raises Bench3RError when there is no table, when it
    lacks columns, and when a bundle is damaged.
    """
    file = source / RECORDS if source.is_dir() else source
    if not file.is_file():
        expected = "a folder of results, a records file or a bundle"
        raise Bench3RError(f"{file}: no records; expected {expected}")
    content = io.BytesIO(_member(file)) if zipfile.is_zipfile(file) else file
    try:
        table = pd.read_csv(content) if file.suffix == ".csv" else pd.read_parquet(content)
    except (ValueError, OSError) as error:  # pandas and pyarrow raise kinds of these
        raise Bench3RError(f"{file}: no table of records ({error})") from error
    missing = [c for c in (*COMPARED, *SAME, "scene", "value") if c not in table]
    if missing:
        raise Bench3RError(f"{file}: the table lacks {', '.join(missing)}; collect the run again")
    return table


def _member(file: Path) -> bytes:
    """The records inside a bundle that is as it was written."""
    verify(file)
    with zipfile.ZipFile(file) as bundle:
        if RECORDS not in bundle.namelist():
            raise Bench3RError(f"{file}: the bundle holds no {RECORDS}")
        return bundle.read(RECORDS)


def read_costs(source: Path) -> list[CostRow]:
    """The cost records that belong to a table; none where it came without them.

    Raises Bench3RError for records that are none.
    """
    rows: Sequence[object]
    if source.is_file() and zipfile.is_zipfile(source):
        rows = _profiles_inside(source)
    else:
        folder = source if source.is_dir() else source.parent
        rows = read_jsonl(folder / PROFILES)
    try:
        return [CostRow.model_validate(row) for row in rows]
    except ValidationError as error:
        raise Bench3RError(f"{source}: no cost records in {PROFILES} ({error})") from error


def _profiles_inside(file: Path) -> Sequence[object]:
    with zipfile.ZipFile(file) as bundle:
        if PROFILES not in bundle.namelist():
            return []
        lines = bundle.read(PROFILES).decode().splitlines()
    return [json.loads(line) for line in lines if line]
