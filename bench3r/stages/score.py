"""Score: metrics of saved predictions under every protocol.

CPU only; a new protocol never re-runs a model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.progress import track

from bench3r.api.errors import Bench3RError
from bench3r.data.load import SceneLoader
from bench3r.data.prepared import Prepared, read_prepared
from bench3r.files import append_jsonl, read_npz, write_jsonl
from bench3r.models.catalogue import NO_BACKBONE, input_size
from bench3r.protocols import PROTOCOLS, protocol_hash
from bench3r.protocols.base import Protocol, Scores
from bench3r.protocols.scored import Scored
from bench3r.run import paths
from bench3r.run.plan import Cell, Plan
from bench3r.run.records import PredictRecord, ScoreRecord, Status, read_records, score_key

NOTHING = Scores({}, {})


class Scorer:
    """Scores one cell. ``workers``: threads of searches in point clouds."""

    def __init__(
        self, plan: Plan, cell: Cell, prepared: Prepared, predictions: Path, workers: int = 1
    ) -> None:
        self.plan = plan
        self.cell = cell
        self.predictions = predictions
        self.workers = workers
        self.protocols = [PROTOCOLS.get(p) for p in plan.config.protocols_for(cell.dataset_name)]
        self.references = references(plan, cell)
        _, width, self.patch = input_size(plan.config.sees(cell.backbone), cell.scale)
        self.loader = SceneLoader(prepared, width, self.patch, predicted=True)
        self.items = {item.id: item for item in prepared.items(cell.frames)}

    def key(self, predicted: PredictRecord) -> str:
        """The hash of all that the scores of a predicted scene depend on."""
        return score_key(predicted, self.plan.score_key, self.references.get(predicted.scene))

    def rows(self, predicted: PredictRecord) -> list[ScoreRecord]:
        """One record per protocol of a scene; a failed prediction hands its status on."""
        if predicted.status != "ok":
            return self._failed(predicted, predicted.status, predicted.reason)
        try:
            scored = self.load(predicted)
        except Bench3RError as error:
            return self._failed(predicted, "error", str(error))
        return [self._record(predicted, p, scores=p.evaluate(scored)) for p in self.protocols]

    def load(self, predicted: PredictRecord) -> Scored:
        """The saved prediction beside the ground truth.

        Raises Bench3RError when the scene or the prediction cannot be read.
        """
        scene = self.loader.load(self.items[predicted.scene])
        arrays = read_npz(self.predictions / str(predicted.prediction))
        has_head = self.cell.backbone != NO_BACKBONE
        return Scored(
            scene=scene,
            depth=arrays["depth"],
            extrinsics=arrays["extrinsics"],
            intrinsics=arrays["intrinsics"],
            world_points=arrays.get("world_points"),
            points_from=self.plan.config.points if has_head else "depth_camera",
            recursion_depth=arrays.get("recursion_depth"),
            patch=self.patch,
            held_out=_held_out(predicted),
            depth_conf=arrays.get("depth_conf"),
            dataset_unit=predicted.extras.get("dataset_unit") is True,
            reference=self._reference(predicted.scene),
            dataset=self.loader.dataset,
            workers=self.workers,
        )

    def _reference(self, scene: str) -> dict[str, np.ndarray] | None:
        """What the unchanged backbone predicted of ``scene``."""
        row = self.references.get(scene)
        if row is None or row.status != "ok":
            return None
        folder = paths.predicted(self.plan.name, str(self.cell.reference)).with_suffix("")
        return read_npz(folder / str(row.prediction))

    def _failed(self, predicted: PredictRecord, status: Status, reason: str) -> list[ScoreRecord]:
        return [self._record(predicted, p, status=status, reason=reason) for p in self.protocols]

    def _record(
        self,
        predicted: PredictRecord,
        protocol: Protocol,
        *,
        status: Status = "ok",
        reason: str = "",
        scores: Scores = NOTHING,
    ) -> ScoreRecord:
        return ScoreRecord(
            cell=self.cell.id,
            key=self.key(predicted),
            scene=predicted.scene,
            status=status,
            reason=reason,
            protocol=protocol.name,
            protocol_version=protocol.version,
            protocol_hash=protocol_hash(protocol.name),
            metrics=scores.metrics,
            missing=scores.missing,
        )


def _held_out(predicted: PredictRecord) -> list[int] | None:
    """The views that the method says it only looked up."""
    found = predicted.extras.get("held_out")
    if not isinstance(found, list):
        return None
    return [view for view in found if isinstance(view, int)]


def references(plan: Plan, cell: Cell) -> dict[str, PredictRecord]:
    """Predict records of the unchanged backbone by scene, where ``cell`` is compared with it."""
    if cell.reference is None:
        return {}
    path = paths.predicted(plan.name, cell.reference)
    return {r.scene: r for r in read_records(path, PredictRecord)}


def score_cell(
    plan: Plan, cell: Cell, predicted: Path, prepared: Path, out: Path, workers: int = 1
) -> list[ScoreRecord]:
    """Score every scene of ``cell``; scenes that were scored before by the same rules are kept."""
    scorer = Scorer(plan, cell, read_prepared(prepared), predicted.with_suffix(""), workers)
    progress = out.with_suffix(".partial.jsonl")
    done = {(r.scene, r.protocol, r.key): r for r in read_records(progress, ScoreRecord)}
    rows: list[ScoreRecord] = []
    found = read_records(predicted, PredictRecord)
    for row in track(found, f"score {cell.id[:50]}", transient=True):
        key = scorer.key(row)
        wanted = [(row.scene, protocol.name, key) for protocol in scorer.protocols]
        if not all(w in done for w in wanted):
            for record in scorer.rows(row):
                append_jsonl(progress, record.model_dump(mode="json"))
                done[(record.scene, record.protocol, record.key)] = record
        rows += [done[w] for w in wanted]
    write_jsonl(out, (r.model_dump(mode="json") for r in rows))
    progress.unlink(missing_ok=True)
    return rows
