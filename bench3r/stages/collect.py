"""Collect: every record of a run in one tidy table, one value a row.

What is missing stands there without a value and with its reason.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from bench3r.api.dataset import DATASETS
from bench3r.api.method import METHODS
from bench3r.data.prepared import read_prepared
from bench3r.files import write_atomic, write_jsonl
from bench3r.protocols import PROTOCOLS
from bench3r.run import paths
from bench3r.run.plan import Cell, Plan, ProfileEntry
from bench3r.run.records import (
    Json,
    PredictRecord,
    ProfileRecord,
    ScoreRecord,
    TrainRecord,
    read_record,
    read_records,
    score_key,
)
from bench3r.stages.score import references

Row = Json  # values by column

COLUMNS = [
    "run",
    "cell",
    "key",
    "method",
    "label",
    "kind",
    "options",
    "backbone",
    "scale",
    "dataset",
    "scene_type",
    "procedural",
    "frames",
    "seed",
    "scene",
    "protocol",
    "protocol_version",
    "protocol_hash",
    "lists_sha256",
    "metric",
    "unit",
    "value",
    "status",
    "reason",
    "weights",
    "device",
    "git",
    "dirty",
    "time",
]
NOT_TEXT = {"procedural", "frames", "seed", "value", "dirty"}
LOST = "no record: the job was lost or has not run"
WHERE = ("device", "git", "dirty", "time", "lists_sha256")  # of the provenance
# What is recorded of every changed backbone, whatever the method declares.
SAVINGS = (
    "backbone_macs",
    "counted_saving",
    "predicted_saving",
    "rule_saving",
    "f",
    "m",
    "K",
)


def _options(options: Json) -> str:
    return json.dumps(options, sort_keys=True)


def cell_columns(run: str, cell: Cell) -> Row:
    """What identifies a cell, as columns."""
    return {
        "run": run,
        "cell": cell.id,
        "key": cell.key,
        "method": cell.method,
        "label": cell.label,
        "kind": cell.kind,
        "options": _options(cell.options),
        "backbone": cell.backbone,
        "scale": cell.scale,
        "dataset": cell.dataset_name,
        "frames": cell.frames,
        "seed": cell.seed,
    }


def metric_rows(record: ScoreRecord) -> list[Row]:
    """One row per metric of a score record.

    A metric that could not be computed has no value but a reason.
    """
    rows = []
    for metric in PROTOCOLS.get(record.protocol).metrics:
        row: Row = {
            "scene": record.scene,
            "protocol": record.protocol,
            "protocol_version": record.protocol_version,
            "protocol_hash": record.protocol_hash,
            "metric": metric.name,
            "unit": metric.unit,
            "status": record.status,
            "reason": record.reason,
        }
        if record.status == "ok":
            row["value"] = record.metrics.get(metric.name)
            row["reason"] = record.missing.get(metric.name, "")
        rows.append(row)
    return rows


def current_predictions(plan: Plan, cell: Cell) -> list[PredictRecord]:
    """The predict records of the cell as it is planned; others are stale."""
    found = read_records(paths.predicted(plan.name, cell.id), PredictRecord)
    return [record for record in found if record.key == cell.key]


def current_scores(
    plan: Plan, cell: Cell, predicted: dict[str, PredictRecord]
) -> list[ScoreRecord]:
    """The score records of these very predictions; others are stale."""
    unchanged = references(plan, cell)
    keys = set()
    for scene, record in predicted.items():
        keys.add(score_key(record, plan.score_key, unchanged.get(scene)))
    found = read_records(paths.scored(plan.name, cell.id), ScoreRecord)
    return [record for record in found if record.key in keys]


def cell_rows(plan: Plan, cell: Cell) -> list[Row]:
    """All rows of one cell, complete for its planned scenes."""
    common = cell_columns(plan.name, cell)
    predicted = {record.scene: record for record in current_predictions(plan, cell)}
    scored = current_scores(plan, cell, predicted)
    scenes = ["?"]
    common["procedural"] = None
    prepared = paths.prepared(cell.dataset)
    if prepared.exists():
        known = read_prepared(prepared)
        scenes = [item.id for item in known.items(cell.frames)]
        common["procedural"] = known.procedural
    rows: list[Row] = []
    for record in scored:
        where = _where(predicted.get(record.scene))
        rows += [{**common, **where, **row} for row in metric_rows(record)]
    have = {record.scene for record in scored}
    missing: Row = {**common, "metric": "any", "status": "error", "reason": LOST}
    rows += [{**missing, "scene": scene} for scene in scenes if scene not in have]
    return rows


def _where(predicted: PredictRecord | None) -> Row:
    if predicted is None:
        return {}
    known = predicted.provenance
    row: Row = {"weights": predicted.weights}
    for name in WHERE:
        row[name] = getattr(known, name)
    return row


def collect(plan: Plan) -> pd.DataFrame:
    """The tidy table of a run."""
    types = scene_types()
    rows: list[Row] = []
    for cell in plan.cells:
        rows += cell_rows(plan, cell)
    table = pd.DataFrame(rows, columns=COLUMNS)
    texts = dict.fromkeys(set(COLUMNS) - NOT_TEXT, "str")  # also where every value is missing
    table = table.astype(texts)
    return table.assign(scene_type=table["dataset"].map(types), value=pd.to_numeric(table["value"]))


def scene_types() -> dict[str, str]:
    """The type of scenes of every dataset."""
    return {name: cls.scene_type for name, cls in DATASETS.usable()[0].items()}


def fact_names(plan: Plan) -> list[str]:
    """The facts that a run's records may hold: savings, and what its methods declare."""
    names = list(SAVINGS)
    for method in dict.fromkeys(cell.method for cell in plan.cells):
        names += [fact.name for fact in METHODS.get(method).facts]
    return list(dict.fromkeys(names))


def collect_facts(plan: Plan) -> list[Row]:
    """What each finished prediction cost and how it was routed: one row per cell and scene."""
    types = scene_types()
    names = fact_names(plan)
    rows: list[Row] = []
    for cell in plan.cells:
        common = cell_columns(plan.name, cell)
        common["scene_type"] = types[cell.dataset_name]
        for record in current_predictions(plan, cell):
            if record.status == "ok":
                row = {**common, "scene": record.scene, "flops": record.efficiency.flops}
                row |= {name: record.extras.get(name) for name in names}
                rows.append(row)
    return rows


def collect_trainings(plan: Plan) -> list[Row]:
    """How long everything that was learned in this run was trained: one row per training."""
    rows: list[Row] = []
    for entry in plan.trainings:
        path = paths.trained(plan.name, entry.id).with_suffix(".json")
        record = read_record(path, TrainRecord) if path.exists() else TrainRecord()
        scenes = record.scenes if record.scenes_seen is None else record.scenes_seen
        rows.append(
            {
                "training": entry.id,
                "method": entry.method or "base",
                "options": _options(entry.options),
                "seed": entry.seed,
                "steps": record.steps_done,
                "scenes": scenes,
                "seconds": record.seconds,
                "backbone": entry.backbone,
                "layers": dict(record.layers) if record.layers is not None else None,
                "shipped": record.shipped,
                "device": record.provenance.device,
            }
        )
    return rows


def current_profile(plan: Plan, entry: ProfileEntry) -> ProfileRecord | None:
    """The cost record of ``entry`` as it is planned; None when there is none, or a stale one."""
    path = paths.profiled(plan.name, entry.id)
    if not path.exists():
        return None
    record = read_record(path, ProfileRecord)
    return record if record.key == entry.key else None


def collect_profiles(plan: Plan, searches: bool = False) -> list[Row]:
    """Cost records, one row each, or the ``searches`` for the maximum frame count.

    What has not run is an error row.
    """
    rows: list[Row] = []
    for entry in plan.profiles:
        if bool(entry.largest) != searches:
            continue
        row: Row = {
            "cell": entry.id,
            "method": entry.method,
            "label": entry.label,
            "backbone": entry.backbone,
            "scale": entry.scale,
            "options": _options(entry.options),
            "frames": entry.frames,
        }
        record = current_profile(plan, entry)
        if record is None:
            row |= {"status": "error", "reason": LOST, "device": None, "time": None, "git": None}
        else:
            row |= record.model_dump(mode="json", exclude={"provenance"})
            known = record.provenance
            row |= {"device": known.device, "time": known.time, "git": known.git}
        rows.append(row)
    return rows


def write_tables(plan: Plan, out: Path) -> None:
    """Write the tidy table as parquet and CSV.

    Costs, facts of predictions and trainings lie beside it as JSON lines.
    """
    table = collect(plan)
    write_atomic(out, lambda f: table.to_parquet(f, index=False))
    write_atomic(out.with_suffix(".csv"), lambda f: f.write(table.to_csv(index=False).encode()))
    extra = {
        "profiles": collect_profiles(plan),
        "largest": collect_profiles(plan, True),
        "facts": collect_facts(plan),
        "trainings": collect_trainings(plan),
    }
    for name, rows in extra.items():
        write_jsonl(out.with_name(f"{name}.jsonl"), rows)
