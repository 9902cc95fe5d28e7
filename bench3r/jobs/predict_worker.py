"""The process that predicts: one cell, all scenes in a loop, one record appended per scene.

Started and watched by :mod:`bench3r.jobs.predict`; what it has appended survives its death.
"""

from __future__ import annotations

import errno
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError, InvalidPrediction, Unsupported
from bench3r.api.method import METHODS, BuildContext, CountedPredictor, Predictor, conditions_of
from bench3r.api.reconstruction import Reconstruction
from bench3r.api.scene import SceneData
from bench3r.data.load import load_scene
from bench3r.data.prepared import open_prepared
from bench3r.files import append_jsonl, file_digest, read_json, write_npz, write_text
from bench3r.measure.allocator import keep_freed_memory
from bench3r.measure.flops import count_torch
from bench3r.measure.savings import saving_facts
from bench3r.measure.trackers import MemoryTracker, Timer
from bench3r.models.backbones import BackbonePredictor
from bench3r.models.backbones import build_predictor as build_method
from bench3r.models.catalogue import NO_BACKBONE, input_size
from bench3r.models.layers import cost_depends_on_content
from bench3r.models.preprocess import scene_images
from bench3r.models.weights import resolve_base
from bench3r.run.config import RunConfig
from bench3r.run.plan import Cell, Plan
from bench3r.run.provenance import provenance
from bench3r.run.records import LOST_INFRASTRUCTURE, Efficiency, PredictRecord, Status


def disk_is_lost(error: BaseException) -> bool:
    """Whether ``error`` says that the disk is full or gone, which is no result of a method."""
    return isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
    )


def build_predictor(
    cell: Cell, config: RunConfig, base: Path | None, fitted: Path | None
) -> tuple[Predictor, str]:
    """The cell's predictor and the hash of the weights it runs with."""
    cls = METHODS.get(cell.method)
    weights = None
    if cell.backbone != NO_BACKBONE:
        weights = resolve_base(config.base_of(cell.backbone), cell.backbone, cell.scale, base)
    context = BuildContext(
        cell.backbone, cell.scale, config.device, config.precision, weights, fitted, cell.seed
    )
    hashes = [file_digest(p) for p in (weights, fitted) if p is not None]
    return build_method(cls(cls.Options.model_validate(cell.options)), context), "+".join(hashes)


def check_prediction(out: Any, images: torch.Tensor) -> Reconstruction:
    """Raise InvalidPrediction unless ``out`` is a sound reconstruction of ``images``."""
    if not isinstance(out, Reconstruction):
        raise InvalidPrediction(
            f"the method returned {type(out).__name__}, expected a Reconstruction"
        )
    problems = out.problems(images)
    if problems:
        raise InvalidPrediction("; ".join(problems))
    return out


def arrays(out: Reconstruction, config: RunConfig) -> dict[str, np.ndarray]:
    """What is stored of a prediction (setting ``keep``); points that follow from depth and pose are not."""
    kept = {
        "depth": out.depth[0].float(),
        "extrinsics": out.extrinsics[0].double(),
        "intrinsics": out.intrinsics[0].double(),
        "recursion_depth": first(out.recursion_depth),
        "depth_conf": out.depth_conf[0].clamp(max=6e4).half() if config.keep.depth_conf else None,
        "world_points": first(out.world_points) if config.keep.world_points else None,
    }
    return {k: v.cpu().numpy() for k, v in kept.items() if v is not None}


def first(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """The first scene of a batch, if there is a tensor."""
    return None if tensor is None else tensor[0]


def plain_extras(extras: dict[str, Any]) -> dict[str, Any]:
    """The extras that fit a record: numbers, texts and short lists."""
    return {
        k: v
        for k, v in extras.items()
        if isinstance(v, (int, float, str, bool, list)) and not _has_tensor(v)
    }


def _has_tensor(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(v, torch.Tensor) for v in value)


def predict_scene(
    predictor: Predictor,
    scene: SceneData,
    given: dict[str, Any],
    config: RunConfig,
    counter: FlopCounter,
) -> tuple[Reconstruction, Efficiency]:
    """One forward pass with its time and memory (shared: other jobs may run beside it), then its FLOPs."""
    images = scene_images(scene, config.device)
    with (
        torch.inference_mode(),
        MemoryTracker(config.device) as memory,
        Timer(config.device) as timer,
    ):
        out = predictor(images, **given)
    check_prediction(out, images)
    with torch.inference_mode():
        macs = counter(predictor, images, out)
        out.extras |= (
            predictor.explain(images, out) if isinstance(predictor, BackbonePredictor) else {}
        )
    return out, Efficiency(
        seconds=timer.seconds,
        peak_rss_bytes=memory.peak_rss,
        peak_gpu_bytes=memory.peak_gpu,
        macs=macs,
        flops=None if macs is None else 2 * macs,
    )


class FlopCounter:
    """Counts multiply-adds of a cell's inputs: every input where the method decides by content what runs, else one of
    each shape. By torch's counter, which costs little more than the pass itself; tests hold it equal to fvcore's.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[int, ...], int] = {}

    def __call__(
        self, predictor: Predictor, images: torch.Tensor, out: Reconstruction
    ) -> int | None:
        """Multiply-adds of ``predictor`` on ``images``; None when it names nothing to count (``counted``)."""
        if not isinstance(predictor, CountedPredictor):
            return None
        model = predictor.counted(images)
        dynamic = (
            out.recursion_depth is not None
            or "decided_by" in out.extras
            or cost_depends_on_content(model)
        )
        shape = tuple(images.shape)
        if dynamic or shape not in self.known:
            whole = isinstance(predictor, BackbonePredictor)
            self.known[shape] = count_torch(model, images, predictor if whole else None)
        return self.known[shape]


def failure(error: BaseException) -> tuple[Status, str]:
    """Status and reason of an exception."""
    if isinstance(error, InvalidPrediction):
        return "invalid", str(error)
    if isinstance(error, Unsupported):
        return "unsupported", str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "oom", f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, Bench3RError):
        return "error", str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return "error", f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"


class CellRun:
    """One cell in one folder: scenes that are done stay done."""

    def __init__(self, plan: Plan, cell: Cell, folder: Path, prepared: dict[str, Any]) -> None:
        self.config, self.cell, self.folder = plan.run_config(), cell, folder
        self.prepared, self.progress = prepared, folder / "progress.jsonl"
        self.provenance = {
            **provenance(self.config.device),
            "lists_sha256": prepared["lists_sha256"],
            "procedural": prepared["procedural"],
        }

    def run(self, items: list[dict[str, Any]], base: Path | None, fitted: Path | None) -> None:
        """Predict ``items``, appending a record for each."""
        predictor, weights = build_predictor(self.cell, self.config, base, fitted)
        self.counter = FlopCounter()
        dataset = open_prepared(self.prepared)
        for item in items:
            write_text(self.folder / "current", item["id"])
            append_jsonl(
                self.progress, self.one(predictor, weights, dataset, item).model_dump(mode="json")
            )
        (self.folder / "current").unlink(missing_ok=True)

    def one(
        self, predictor: Predictor, weights: str, dataset: Dataset, item: dict[str, Any]
    ) -> PredictRecord:
        """The record of one scene, whatever happens. A full disk is no result and is raised."""
        common = {
            "cell": self.cell.id,
            "key": self.cell.key,
            "scene": item["id"],
            "frames": len(item["frames"]),
            "weights": weights,
            "provenance": self.provenance,
        }
        try:
            _, width, patch = input_size(self.config.sees(self.cell.backbone), self.cell.scale)
            scene = load_scene(dataset, item["scene"], item["frames"], width, patch)
            scene.name = item["id"]
            out, efficiency = predict_scene(
                predictor,
                scene,
                conditions_of(METHODS.get(self.cell.method), scene),
                self.config,
                self.counter,
            )
            path = self.folder / f"{item['id']}.npz"
            write_npz(path, arrays(out, self.config))
        except Exception as error:
            if disk_is_lost(error):
                raise
            status, reason = failure(error)
            return PredictRecord(**common, status=status, reason=reason)
        return PredictRecord(
            **common,
            status="ok",
            efficiency=efficiency,
            prediction=path.name,
            prediction_sha256=file_digest(path),
            image_size=(scene.images.shape[1], scene.images.shape[2]),
            extras={**plain_extras(out.extras), **self.savings(predictor, scene, out, efficiency)},
        )

    def savings(
        self, predictor: Predictor, scene: SceneData, out: Reconstruction, efficiency: Efficiency
    ) -> dict[str, Any]:
        """What a changed backbone saves on this input: counted, and predicted from the depths; empty for others."""
        if not isinstance(predictor, BackbonePredictor) or efficiency.macs is None:
            return {}
        size = (scene.images.shape[1], scene.images.shape[2])
        return saving_facts(predictor.model, len(scene.images), size, efficiency.macs, out.extras)


def main(arguments: Path) -> int:
    """Run the job described by a JSON file written by the supervisor."""
    job = read_json(arguments)
    torch.set_num_threads(int(job["threads"]))
    keep_freed_memory()
    plan = Plan.model_validate(read_json(Path(job["plan"])))
    run = CellRun(
        plan, plan.cell(job["cell"]), Path(job["folder"]), read_json(Path(job["prepared"]))
    )
    optional = {k: Path(job[k]) if job[k] else None for k in ("base", "fitted")}
    try:
        run.run(job["items"], optional["base"], optional["fitted"])
    except Exception as error:
        if disk_is_lost(error):
            print(f"{error}", file=sys.stderr)
            return LOST_INFRASTRUCTURE
        status, reason = failure(error)
        write_text(Path(job["folder"]) / "failed", f"{status}\n{reason}")
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
