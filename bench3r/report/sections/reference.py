"""Time and memory with random weights, by device and scale, from benchmarks/reference.py."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from bench3r.models.catalogue import label_of_network
from bench3r.report.evidence import RunEvidence
from bench3r.report.names import label_of
from bench3r.report.section import Section
from bench3r.report.settings import Options
from bench3r.report.tables import MISSING, Table
from bench3r.run import paths
from bench3r.run.records import Provenance, read_records

NOTE = (
    "Median seconds of one pass and peak memory (of tensors on a GPU, of the process elsewhere) by "
    "frames of the scene; of pairwise models the network alone. (!): the record is marked as "
    "doubtful, the reason is in the CSV."
)


class Case(BaseModel):
    """What was to be measured."""

    model_config = ConfigDict(extra="ignore")

    method: str
    label: str
    backbone: str
    scale: str
    frames: int
    precision: str
    rung: str | None = None  # of the ladder, for an unchanged backbone; None: by ``precision``
    options: Options
    size: tuple[int, int]  # height and width of an image

    @property
    def pixels(self) -> str:
        """The size of an image as a text."""
        return f"{self.size[0]}x{self.size[1]}"


class CaseRecord(BaseModel):
    """What came of it; a value that was not measured is None."""

    model_config = ConfigDict(extra="ignore")

    case: Case
    status: str
    reason: str = ""
    seconds: list[float] | None = None
    trunk_seconds: list[float] | None = None
    peak_rss_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    energy_j: float | None = None
    flops: float | None = None
    assumed: str = ""
    suspect: list[str] | None = None
    provenance: Provenance | None = None

    @property
    def peak_bytes(self) -> int | None:
        """Peak memory: of tensors on a GPU, of the process elsewhere."""
        return self.peak_gpu_bytes or self.peak_rss_bytes


def measured_tables(folder: Path) -> Iterator[Table]:
    """One table for each device and scale whose records lie in ``folder``/DEVICE/records.jsonl."""
    for path in sorted(folder.glob("*/records.jsonl")):
        by_scale: dict[str, list[CaseRecord]] = {}
        for record in read_records(path, CaseRecord):
            by_scale.setdefault(record.case.scale, []).append(record)
        for scale, records in by_scale.items():
            yield _table(path, scale, records)


def _table(path: Path, scale: str, records: list[CaseRecord]) -> Table:
    """Seconds and memory over frame counts, from the records of a device in the file ``path``."""
    device = path.parent.name
    cases = [record.case for record in records]
    shown: dict[str, dict[str, str]] = {}
    for record in records:
        name = _name(record.case, cases)
        row = shown.setdefault(name, {"method": name})
        row[f"{record.case.frames:,}"] = _cell(record)
    raw = pd.DataFrame(map(_raw, records)).assign(records=str(path))
    counts = map("{:,}".format, sorted(raw["frames"].unique()))
    table = pd.DataFrame(shown.values()).reindex(columns=["method", *counts]).fillna(MISSING)
    assumed = sorted({*raw["assumed"]} - {""})
    return Table(
        name=f"reference_{device}_{scale}".lower(),
        title=f"Time and memory with random weights: {device}, {scale}",
        caption=_caption(device, scale, raw),
        shown=table,
        raw=raw,
        notes=[NOTE, *(f"Assumed: {text}." for text in assumed)],
    )


def _name(case: Case, cases: list[Case]) -> str:
    """Method, its settings and precision where there are several, and its backbone."""
    everyone = [other.options for other in cases if other.method == case.method]
    name = label_of(case.method, case.label, case.options, everyone)
    network = label_of_network(case.backbone)
    precisions = {other.precision for other in cases if other.rung is None}
    if case.rung is None and len(precisions) > 1:
        name = f"{name} in {case.precision}"
    return name if network == name else f"{name}, {network}"


def _cell(record: CaseRecord) -> str:
    if not record.seconds or not record.peak_bytes:
        text = record.status
    else:
        text = f"{np.median(record.seconds):.3g} s, {record.peak_bytes / 1e9:.2f} GB"
    return f"{text} (!)" if record.suspect else text


def _raw(record: CaseRecord) -> dict[str, object]:
    case = record.case
    where = record.provenance or Provenance()
    return {
        "method": case.method,
        "backbone": case.backbone,
        "scale": case.scale,
        "frames": case.frames,
        "precision": case.precision,
        "rung": case.rung,
        "options": json.dumps(case.options),
        "image_size": case.pixels,
        "status": record.status,
        "reason": record.reason,
        "seconds": _median(record.seconds),
        "trunk_seconds": _median(record.trunk_seconds),
        "peak_bytes": record.peak_bytes,
        "energy_j": record.energy_j,
        "flops": record.flops,
        "assumed": record.assumed,
        "suspect": "; ".join(record.suspect or []),
        "time": where.time,
        "git": where.git,
    }


def _median(seconds: list[float] | None) -> float:
    return float(np.median(seconds)) if seconds else math.nan


def _caption(device: str, scale: str, raw: pd.DataFrame) -> str:
    days = raw["time"].dropna().astype(str).str[:10]
    return (
        f"Measured by Bench3R with random weights and images on {device}, scale `{scale}`, "
        f"{_listed(raw['precision'])}, images of {_listed(raw['image_size'])} pixels, "
        f"{_listed(days) or 'no date'}."
    )


def _listed(values: pd.Series) -> str:
    return ", ".join(sorted(values.unique()))


def reference_tables(run: RunEvidence) -> Iterator[Table]:
    """Those of all devices that were measured beside the runs."""
    yield from measured_tables(paths.RESULTS / "reference")


SECTION = Section("reference", 210, "published", run_tables=reference_tables)
