"""Score: metrics of saved predictions under every protocol. CPU only; a new protocol never re-runs a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.progress import track

from bench3r.api.errors import Bench3RError
from bench3r.data.load import load_scene
from bench3r.data.prepared import open_prepared
from bench3r.files import append_jsonl, read_json, read_jsonl, read_npz, write_jsonl
from bench3r.metrics import clouds
from bench3r.models.catalogue import NO_BACKBONE, input_size
from bench3r.protocols import load_protocol, protocol_hash
from bench3r.protocols.base import Scored, score
from bench3r.run import paths
from bench3r.run.plan import Cell, Plan
from bench3r.run.records import ScoreRecord, score_key


class Scorer:
    """Scores one cell."""

    def __init__(self, plan: Plan, cell: Cell, prepared: dict[str, Any], folder: Path) -> None:
        self.config, self.cell, self.folder = plan.run_config(), cell, folder
        self.rules, self.prepared, self.references = (
            plan.score_key,
            prepared,
            references(plan, cell),
        )
        self.dataset = open_prepared(prepared)
        self.items = {i["id"]: i for i in prepared["lists"][str(cell.frames)]}

    def rows(self, predicted: dict[str, Any]) -> list[ScoreRecord]:
        """One record per protocol for a predicted scene; a failed prediction hands its status on."""
        key = score_key(predicted, self.rules, self.references.get(predicted["scene"]))
        common = {"cell": self.cell.id, "key": key, "scene": predicted["scene"]}
        rules = [(p, load_protocol(p)) for p in self.config.protocols_for(self.cell.dataset_name)]
        named = [
            {"protocol": p, "protocol_version": m.VERSION, "protocol_hash": protocol_hash(p)}
            for p, m in rules
        ]
        if predicted["status"] != "ok":
            state = {"status": predicted["status"], "reason": predicted["reason"]}
            return [ScoreRecord(**common, **n, **state) for n in named]
        try:
            scored = self.load(predicted)
        except Bench3RError as error:
            return [ScoreRecord(**common, **n, status="error", reason=str(error)) for n in named]
        out = []
        for n, (_, module) in zip(named, rules, strict=True):
            metrics, missing = score(module, scored)
            out.append(ScoreRecord(**common, **n, status="ok", metrics=metrics, missing=missing))
        clouds.forget()
        return out

    def load(self, predicted: dict[str, Any]) -> Scored:
        """The saved prediction beside the truth."""
        item = self.items[predicted["scene"]]
        _, width, patch = input_size(self.config.sees(self.cell.backbone), self.cell.scale)
        scene = load_scene(self.dataset, item["scene"], item["frames"], width, patch)
        arrays = read_npz(self.folder / predicted["prediction"])
        return Scored(
            scene,
            arrays["depth"],
            arrays["extrinsics"],
            arrays["intrinsics"],
            arrays.get("world_points"),
            self.config.points if self.cell.backbone != NO_BACKBONE else "depth_camera",
            arrays.get("recursion_depth"),
            patch,
            predicted["extras"].get("held_out"),
            arrays.get("depth_conf"),
            self._reference(predicted["scene"]),
            self.dataset,
        )

    def _reference(self, scene: str) -> dict[str, Any] | None:
        """What the unchanged backbone predicted of ``scene``."""
        row = self.references.get(scene)
        if row is None or row["status"] != "ok":
            return None
        return read_npz(
            paths.predicted(self.config.name, str(self.cell.reference)).with_suffix("")
            / row["prediction"]
        )


def references(plan: Plan, cell: Cell) -> dict[str, dict[str, Any]]:
    """Predict records of the unchanged backbone by scene, where ``cell`` is compared with it."""
    if cell.reference is None:
        return {}
    return {
        r["scene"]: r for r in read_jsonl(paths.predicted(str(plan.config["name"]), cell.reference))
    }


def score_cell(
    plan: Plan, cell: Cell, predicted: Path, prepared: Path, out: Path
) -> list[dict[str, Any]]:
    """Score every scene of ``cell``; scenes that were scored before under the same rules are kept."""
    scorer = Scorer(plan, cell, read_json(prepared), predicted.with_suffix(""))
    progress = out.with_suffix(".partial.jsonl")
    done = {(r["scene"], r["protocol"], r["key"]): r for r in read_jsonl(progress)}
    rows = []
    for row in track(read_jsonl(predicted), f"score {cell.id[:50]}", transient=True):
        wanted = [
            (row["scene"], p, score_key(row, plan.score_key, scorer.references.get(row["scene"])))
            for p in plan.run_config().protocols_for(cell.dataset_name)
        ]
        if not all(w in done for w in wanted):
            for record in scorer.rows(row):
                dumped = record.model_dump(mode="json")
                append_jsonl(progress, dumped)
                done[(record.scene, record.protocol, record.key)] = dumped
        rows += [done[w] for w in wanted]
    write_jsonl(out, rows)
    progress.unlink(missing_ok=True)
    return rows
