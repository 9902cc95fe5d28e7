"""The process that predicts: one cell, all scenes in a loop, one record appended per scene.

Started and watched by :mod:`bench3r.jobs.predict`; what it has appended survives its death.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench3r.api.errors import InvalidPrediction
from bench3r.api.method import CountedPredictor, Method, Predictor, conditions_of, withhold
from bench3r.api.reconstruction import Reconstruction
from bench3r.api.scene import SceneData
from bench3r.data.load import SceneLoader
from bench3r.data.prepared import Prepared, SceneItem, read_prepared
from bench3r.files import append_jsonl, file_digest, write_npz, write_text
from bench3r.jobs.failures import disk_is_lost, failure
from bench3r.jobs.tasks import PredictTask, read_task
from bench3r.measure.allocator import keep_freed_memory
from bench3r.measure.flops import count_torch
from bench3r.measure.savings import saving_facts
from bench3r.measure.trackers import MemoryTracker, Timer
from bench3r.models.backbones import BackbonePredictor, build_predictor
from bench3r.models.catalogue import input_size
from bench3r.models.layers import cost_depends_on_content
from bench3r.models.preprocess import scene_images
from bench3r.run.config import RunConfig
from bench3r.run.context import Trained, context_of, method_of, weights_hash
from bench3r.run.plan import Cell, Plan, read_plan
from bench3r.run.provenance import provenance
from bench3r.run.records import LOST_INFRASTRUCTURE, Efficiency, Json, PredictRecord

PLAIN = (int, float, str, bool, list)  # kinds of facts that fit a record
HALF_LIMIT = 6e4  # confidences above do not fit float16


def check_prediction(out: object, images: Tensor) -> Reconstruction:
    """``out``, a reconstruction of ``images`` [1, S, 3, H, W].

    Raises InvalidPrediction unless it is a sound one.
    """
    if not isinstance(out, Reconstruction):
        kind = type(out).__name__
        raise InvalidPrediction(f"the method returned {kind}, expected a Reconstruction")
    problems = out.problems(images)
    if problems:
        raise InvalidPrediction("; ".join(problems))
    return out


def arrays(out: Reconstruction, config: RunConfig) -> dict[str, np.ndarray]:
    """What is stored of a prediction of S views by name (setting ``keep``).

    ``depth`` [S, H, W], ``extrinsics`` [S, 3, 4], ``intrinsics`` [S, 3, 3] and, where kept,
    ``recursion_depth`` [S, h, w], ``depth_conf`` [S, H, W] and ``world_points`` [S, H, W, 3];
    points that follow from depth and pose are not.
    """
    kept = {
        "depth": out.depth[0].float(),
        "extrinsics": out.extrinsics[0].double(),
        "intrinsics": out.intrinsics[0].double(),
    }
    if out.recursion_depth is not None:
        kept["recursion_depth"] = out.recursion_depth[0]
    if config.keep.depth_conf:
        kept["depth_conf"] = out.depth_conf[0].clamp(max=HALF_LIMIT).half()
    if config.keep.world_points and out.world_points is not None:
        kept["world_points"] = out.world_points[0]
    return {name: tensor.cpu().numpy() for name, tensor in kept.items()}


def plain_facts(reported: Mapping[str, object]) -> Json:
    """The facts of a reconstruction that fit a record: numbers, texts and lists of them."""
    facts: Json = {}
    for name, value in reported.items():
        if isinstance(value, PLAIN) and not _holds_tensors(value):
            facts[name] = value
    return facts


def _holds_tensors(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(v, Tensor) for v in value)


@dataclass
class FlopCounter:
    """Counts multiply-adds of a cell's inputs.

    Every input is counted where the method decides by content what runs, else one of each shape.
    By torch's counter, which costs little more than the pass itself; tests hold it equal to
    fvcore's.
    """

    known: dict[tuple[int, ...], int] = field(default_factory=dict)  # by shape of the input

    def __call__(self, predictor: Predictor, images: Tensor, out: Reconstruction) -> int | None:
        """Multiply-adds of ``predictor`` on ``images`` [1, S, 3, H, W].

        None when it names nothing to count (``counted``).
        """
        if not isinstance(predictor, CountedPredictor):
            return None
        model = predictor.counted(images)
        adaptive = out.recursion_depth is not None or "decided_by" in out.extras
        shape = tuple(images.shape)
        if adaptive or cost_depends_on_content(model) or shape not in self.known:
            whole = predictor if isinstance(predictor, BackbonePredictor) else None
            self.known[shape] = count_torch(model, images, whole)
        return self.known[shape]


@dataclass
class CellPredictor:
    """What predicts the scenes of a cell."""

    method: Method
    predictor: Predictor
    weights: str  # their hash
    config: RunConfig
    count: FlopCounter = field(default_factory=FlopCounter)

    def predict(self, scene: SceneData) -> tuple[Reconstruction, Efficiency]:
        """One forward pass with its time and memory, then its FLOPs.

        Time is recorded as shared: other jobs may run beside it. Raises InvalidPrediction for
        what is no reconstruction of the scene.
        """
        device = self.config.device
        images = scene_images(scene, device)
        given = conditions_of(self.method, scene)
        with torch.inference_mode(), MemoryTracker(device) as memory, Timer(device) as timer:
            out = self.predictor(images, **given)
        check_prediction(out, images)
        with torch.inference_mode():
            macs = self.count(self.predictor, images, out)
            if isinstance(self.predictor, BackbonePredictor):
                out.facts |= self.predictor.explain(images, out)
        return out, Efficiency(
            seconds=timer.seconds,
            peak_rss_bytes=memory.peak_rss,
            peak_gpu_bytes=memory.peak_gpu,
            macs=macs,
            flops=None if macs is None else 2 * macs,
        )

    def savings(self, scene: SceneData, out: Reconstruction, macs: int | None) -> Json:
        """What a changed backbone saves on this input; empty for others.

        Counted, and predicted from the recursion depths.
        """
        if not isinstance(self.predictor, BackbonePredictor) or macs is None:
            return {}
        model = self.predictor.model
        return saving_facts(model, len(scene.images), _size(scene), macs, out.facts)


def _size(scene: SceneData) -> tuple[int, int]:
    """Image height and width."""
    return scene.images.shape[1], scene.images.shape[2]


class CellRun:
    """One cell in one folder: scenes that are done stay done."""

    def __init__(self, plan: Plan, cell: Cell, folder: Path, prepared: Prepared) -> None:
        self.config = plan.config
        self.cell = cell
        self.folder = folder
        self.prepared = prepared
        self.progress = folder / "progress.jsonl"
        self.provenance = provenance(self.config.device)
        self.provenance.lists_sha256 = prepared.lists_sha256
        self.provenance.procedural = prepared.procedural

    def run(self, items: list[SceneItem], base: Path | None, fitted: Path | None) -> None:
        """Predict ``items``, appending a record for each. Raises OSError when the disk is lost."""
        method = method_of(self.cell.method, self.cell.options)
        trained = Trained(base, fitted)
        context = context_of(self.cell, self.config, trained, self.cell.seed)
        predictor = CellPredictor(
            method=method,
            predictor=build_predictor(method, context),
            weights=weights_hash(context),
            config=self.config,
        )
        _, width, patch = input_size(self.config.sees(self.cell.backbone), self.cell.scale)
        loader = SceneLoader(self.prepared, width, patch)
        for item in items:
            write_text(self.folder / "current", item.id)
            record = self.one(predictor, loader, item)
            append_jsonl(self.progress, record.model_dump(mode="json"))
        (self.folder / "current").unlink(missing_ok=True)

    def one(self, predictor: CellPredictor, loader: SceneLoader, item: SceneItem) -> PredictRecord:
        """The record of one scene, whatever happens. Raises OSError when the disk is lost."""
        record = PredictRecord(
            cell=self.cell.id,
            key=self.cell.key,
            scene=item.id,
            status="ok",
            frames=len(item.frames),
            weights=predictor.weights,
            provenance=self.provenance,
        )
        try:
            scene = withhold(predictor.method, loader.load(item))
            scene.name = item.id
            out, efficiency = predictor.predict(scene)
            path = self.folder / f"{item.id}.npz"
            write_npz(path, arrays(out, self.config))
        except Exception as error:
            if disk_is_lost(error):
                raise
            status, reason = failure(error)
            return record.model_copy(update={"status": status, "reason": reason})
        record.efficiency = efficiency
        record.prediction = path.name
        record.prediction_sha256 = file_digest(path)
        record.image_size = _size(scene)
        savings = predictor.savings(scene, out, efficiency.macs)
        record.extras = {**plain_facts(out.facts), **savings}
        return record


def main(file: Path) -> int:
    """Run the task that the supervisor wrote to ``file``; the exit code."""
    task = read_task(file, PredictTask)
    torch.set_num_threads(task.threads)
    keep_freed_memory()
    plan = read_plan(task.plan)
    run = CellRun(plan, plan.cell(task.cell), task.folder, read_prepared(task.prepared))
    try:
        run.run(task.items, task.base, task.fitted)
    except Exception as error:
        if disk_is_lost(error):
            print(f"{error}", file=sys.stderr)
            return LOST_INFRASTRUCTURE
        status, reason = failure(error)
        write_text(task.folder / "failed", f"{status}\n{reason}")
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
