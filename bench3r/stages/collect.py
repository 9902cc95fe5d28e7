"""Collect: every record of a run in one tidy table, one value a row; what is missing is there as a hole with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bench3r.api.dataset import DATASETS
from bench3r.files import read_json, read_jsonl, write_atomic, write_jsonl
from bench3r.protocols import load_protocol
from bench3r.run import paths
from bench3r.run.plan import Cell, Plan
from bench3r.run.records import score_key
from bench3r.stages.score import references

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


def cell_columns(run: str, cell: Cell) -> dict[str, Any]:
    """What identifies a cell, as columns."""
    return {
        "run": run,
        "cell": cell.id,
        "key": cell.key,
        "method": cell.method,
        "label": cell.label,
        "kind": cell.kind,
        "options": json.dumps(cell.options, sort_keys=True),
        "backbone": cell.backbone,
        "scale": cell.scale,
        "dataset": cell.dataset_name,
        "frames": cell.frames,
        "seed": cell.seed,
    }


def metric_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per metric of a score record; a metric that could not be computed has no value but a reason."""
    base = {k: record[k] for k in ("scene", "protocol", "protocol_version", "protocol_hash")}
    units = load_protocol(record["protocol"]).METRICS
    if record["status"] != "ok":
        return [
            {**base, "metric": m, "unit": u, "status": record["status"], "reason": record["reason"]}
            for m, u in units.items()
        ]
    return [
        {
            **base,
            "metric": m,
            "unit": u,
            "value": record["metrics"].get(m),
            "status": "ok",
            "reason": record["missing"].get(m, ""),
        }
        for m, u in units.items()
    ]


def cell_rows(plan: Plan, cell: Cell) -> list[dict[str, Any]]:
    """All rows of one cell, complete for its planned scenes."""
    run = str(plan.config["name"])
    common = cell_columns(run, cell)
    predicted = {
        r["scene"]: r for r in read_jsonl(paths.predicted(run, cell.id)) if r["key"] == cell.key
    }
    dense = references(plan, cell)
    current = {
        score_key(r, plan.score_key, dense.get(s)) for s, r in predicted.items()
    }  # scores of others are stale
    scored = [r for r in read_jsonl(paths.scored(run, cell.id)) if r["key"] in current]
    prepared = paths.prepared(cell.dataset)
    known = read_json(prepared) if prepared.exists() else None
    scenes = [i["id"] for i in known["lists"][str(cell.frames)]] if known else ["?"]
    common["procedural"] = known["procedural"] if known else None
    rows = [
        {**common, **_where(predicted.get(r["scene"])), **m} for r in scored for m in metric_rows(r)
    ]
    have = {r["scene"] for r in scored}
    for scene in scenes:
        if scene not in have:
            rows.append(
                {**common, "scene": scene, "metric": "any", "status": "error", "reason": LOST}
            )
    return rows


def _where(predicted: dict[str, Any] | None) -> dict[str, Any]:
    if predicted is None:
        return {}
    p = predicted.get("provenance", {})
    return {
        "weights": predicted.get("weights"),
        **{k: p.get(k) for k in ("device", "git", "dirty", "time", "lists_sha256")},
    }


def collect(plan: Plan) -> pd.DataFrame:
    """The tidy table of a run."""

    types = {name: cls.scene_type for name, cls in DATASETS.usable()[0].items()}
    rows = [row for cell in plan.cells for row in cell_rows(plan, cell)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    table = table.astype(
        dict.fromkeys(set(COLUMNS) - NOT_TEXT, "str")
    )  # also where every value is missing
    return table.assign(scene_type=table["dataset"].map(types), value=pd.to_numeric(table["value"]))


FACTS = (
    "depth_histogram",
    "mean_depth",
    "violations",
    "violations_before",
    "raised_share",
    "collapsed",
    "exit_layer",
    "held_out",
    "joint_rotation_deg",
    "joint_translation_deg",
    "weight_storage",
    "emulated",
    "backbone_macs",
    "counted_saving",
    "predicted_saving",
    "rule_saving",
    "f",
    "m",
    "K",
    "merged_share",
    "graph",
    "edges",
    "alignment",
    "alignment_iterations",
    "alignment_start_loss",
    "alignment_loss",
    "alignment_converged",
)


def collect_facts(plan: Plan) -> list[dict[str, Any]]:
    """What each finished prediction cost and how it was routed: one row per cell and scene."""

    types = {name: cls.scene_type for name, cls in DATASETS.usable()[0].items()}
    rows = []
    for cell in plan.cells:
        common = cell_columns(str(plan.config["name"]), cell) | {
            "scene_type": types[cell.dataset_name]
        }
        for record in read_jsonl(paths.predicted(str(plan.config["name"]), cell.id)):
            if record["key"] == cell.key and record["status"] == "ok":
                facts = {k: record["extras"].get(k) for k in FACTS}
                rows.append(
                    {
                        **common,
                        "scene": record["scene"],
                        "flops": record["efficiency"]["flops"],
                        **facts,
                    }
                )
    return rows


def collect_trainings(plan: Plan) -> list[dict[str, Any]]:
    """How long everything that was learned in this run was trained: one row per training."""
    rows = []
    for entry in plan.trainings:
        path = paths.trained(str(plan.config["name"]), entry.id).with_suffix(".json")
        record = read_json(path) if path.exists() else {}
        rows.append(
            {
                "training": entry.id,
                "method": entry.method or "base",
                "options": json.dumps(entry.options, sort_keys=True),
                "seed": entry.seed,
                "steps": record.get("steps_done"),
                "scenes": record.get("scenes_seen", record.get("scenes")),
                "seconds": record.get("seconds"),
                "backbone": entry.backbone,
                "layers": record.get("layers"),
                "shipped": record.get("shipped"),
                "device": record.get("provenance", {}).get("device"),
            }
        )
    return rows


def collect_profiles(plan: Plan, searches: bool = False) -> list[dict[str, Any]]:
    """Cost records, one row each, or the ``searches`` for the largest frame count; what has not run is an error row."""
    rows = []
    for entry in plan.profiles:
        if bool(entry.largest) != searches:
            continue
        path = paths.profiled(str(plan.config["name"]), entry.id)
        record: dict[str, Any] = (
            read_json(path) if path.exists() else {"status": "error", "reason": LOST}
        )
        where = record.pop("provenance", {})
        rows.append(
            {
                "method": entry.method,
                "label": entry.label,
                "backbone": entry.backbone,
                "scale": entry.scale,
                "options": json.dumps(entry.options, sort_keys=True),
                "frames": entry.frames,
                **record,
                "device": where.get("device"),
                "time": where.get("time"),
                "git": where.get("git"),
            }
        )
    return rows


def write_tables(plan: Plan, out: Path) -> None:
    """Write the tidy table as parquet and CSV; costs, facts of predictions and trainings as JSON lines beside it."""
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
