"""Train: a base from scratch, or what a method learns; weights as safetensors, the curve as CSV, a record as JSON."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.progress import track
from torch.utils.data import DataLoader

from bench3r.api.method import METHODS, BuildContext, Method, TrainedMethod
from bench3r.api.scene import SceneData
from bench3r.data.procedural.render import make_scene
from bench3r.data.procedural.seeds import GENERATOR_VERSION, TRAIN_SEEDS
from bench3r.data.procedural.styles import SCENE_TYPE, STYLES
from bench3r.files import digest, file_digest, read_json, write_json
from bench3r.measure.allocator import keep_freed_memory
from bench3r.models.backbones import build_backbone, load_backbone
from bench3r.models.catalogue import NETWORKS, NO_BACKBONE, input_size
from bench3r.models.losses import Batch
from bench3r.models.weights import load_strict, read_state_dict, resolve_base, save_safetensors
from bench3r.run import paths
from bench3r.run.config import RunConfig
from bench3r.run.keys import shipped_part
from bench3r.run.plan import Plan, TrainEntry
from bench3r.run.provenance import provenance
from bench3r.training.config import TrainConfig
from bench3r.training.distillation import AttentionDistillation
from bench3r.training.initialisation import initialise
from bench3r.training.samples import BatchStream, DatasetSource, ProceduralSource, SceneSource
from bench3r.training.step import Teacher
from bench3r.training.trainer import Trainer
from bench3r.training.transfer import start_from

VIEWS_PER_SCENE = 8


def start_processes() -> tuple[int, int]:
    """Join the process group when started by torchrun; rank and number of processes."""
    if "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def batch_source(
    backbone: str, scale: str, config: TrainConfig, rank: int, ranks: int
) -> Callable[[int], Iterator[Batch]]:
    """Endless batches of training scenes, procedural or real, from a number of scenes already seen."""
    width = config.width or input_size(backbone, scale)[1]
    source: SceneSource = ProceduralSource((width, width), VIEWS_PER_SCENE, TRAIN_SEEDS)
    if config.data:
        source = DatasetSource(config.data, width, VIEWS_PER_SCENE, config.seed)

    def batches(seen: int) -> Iterator[Batch]:
        stream = BatchStream(
            source,
            config.frames_per_batch,
            config.view_counts,
            config.heights,
            config.queries,
            config.reuse,
            config.seed,
            seen // config.reuse,
            rank,
            ranks,
        )
        ahead = 4 if config.workers else None
        return iter(
            DataLoader(stream, batch_size=None, num_workers=config.workers, prefetch_factor=ahead)
        )

    return batches


def train_base(
    backbone: str,
    scale: str,
    config: TrainConfig,
    folder: Path,
    device: str = "cpu",
    max_seconds: float = float("inf"),
) -> Trainer:
    """Train ``backbone`` at ``scale`` on procedural scenes in ``folder``, or go on where it stopped there.

    A network that declares its ``training_views`` sees so many, whatever ``config.view_counts`` asks of the others.
    """
    views = NETWORKS.get(backbone).training_views
    if views:
        config = config.model_copy(update={"view_counts": views})
    keep_freed_memory()
    rank, ranks = start_processes()
    torch.manual_seed(config.seed)
    model, batches = (
        build_backbone(backbone, scale),
        batch_source(backbone, scale, config, rank, ranks),
    )
    initialise(model)
    if config.start in NETWORKS.get(backbone).starts_from:
        state = read_state_dict(resolve_base("shipped", config.start, scale, None))
        start_from(model, config.start, state, next(batches(0)).images)
    elif config.start != "scratch":
        weights = resolve_base(config.start, backbone, scale, None)
        load_strict(model, read_state_dict(weights), str(weights))
    trainer = Trainer(model, config, folder, batches, device)
    trainer.run(max_seconds)
    return trainer


def finetune(
    method: TrainedMethod,
    context: BuildContext,
    config: TrainConfig,
    folder: Path,
    max_seconds: float = float("inf"),
) -> Trainer:
    """Fine-tune the backbone as ``method`` changes it, from the weights of ``context``; resumes in ``folder``."""
    keep_freed_memory()
    rank, ranks = start_processes()
    model = load_backbone(context)
    method.apply(model)
    model.to(context.device)
    batches = batch_source(context.backbone, context.scale, config, rank, ranks)
    method.calibrate(model, next(batches(0)).images.to(context.device))
    method.prepare_training(model)
    teacher = None
    if method.teacher_weight(0.0) is not None:
        dense = AttentionDistillation(model, load_backbone(context))
        teacher = Teacher(dense, lambda progress: method.teacher_weight(progress) or 0.0)
    torch.manual_seed(config.seed)
    trainer = Trainer(model, config, folder, batches, context.device, teacher)
    trainer.run(max_seconds)
    return trainer


def export_trained(trainer: Trainer, out: Path, record: dict[str, Any]) -> None:
    """Write the averaged weights as float16 safetensors with their curve and record beside them.

    Of a method that trains only a part of its backbone, that part and the buffers.
    """
    frozen = (
        set()
        if record["method"] is None
        else {n for n, p in trainer.model.named_parameters() if not p.requires_grad}
    )
    state = {
        k: v.half() if v.is_floating_point() else v
        for k, v in trainer.ema.weights.items()
        if k not in frozen
    }
    save_safetensors(out, state, {"record": digest(record)})
    shutil.copy(trainer.folder / "curve.csv", out.with_suffix(".csv"))
    write_json(
        out.with_suffix(".json"),
        {
            **record,
            "weights": file_digest(out),
            "steps_done": trainer.step,
            "scenes_seen": trainer.scenes,
            "seconds": round(trainer.seconds, 1),
        },
    )


def data_specification(config: TrainConfig | None = None) -> dict[str, Any]:
    """What training scenes are made of, for the record."""
    if config is not None and config.data:
        return {
            "data": {k: v.model_dump() for k, v in config.data.items()},
            "views_per_scene": VIEWS_PER_SCENE,
        }
    return {
        "data": "procedural",
        "generator_version": GENERATOR_VERSION,
        "styles": list(STYLES),
        "first_seed": TRAIN_SEEDS,
        "views_per_scene": VIEWS_PER_SCENE,
    }


def fit_scenes(count: int, size: tuple[int, int], frames: int) -> Iterator[SceneData]:
    """``count`` procedural training scenes of all styles as a method's ``fit`` sees them."""
    for index in track(range(count), "fit", transient=True):
        style = STYLES[index % len(STYLES)]
        try:
            views = make_scene(style, TRAIN_SEEDS + index, frames, size, samples=1)[1]
        except RuntimeError:
            continue
        yield SceneData(
            f"train{index}",
            tuple(map(str, range(frames))),
            views.images,
            views.intrinsics,
            views.c2w,
            views.depth,
            "m",
            SCENE_TYPE[style],
            0.1,
        )


def fit_method(
    method: Method, entry: TrainEntry, config: RunConfig, context: BuildContext
) -> dict[str, torch.Tensor]:
    """What ``method`` learns in closed form from training scenes."""
    height, width, _ = input_size(config.sees(entry.backbone), entry.scale)
    return (
        method.fit(fit_scenes(config.fit_scenes, (height, width), min(config.frames)), context)
        or {}
    )


def copy_part(part: Path, out: Path) -> None:
    """Take what ships for a method, weights, curve and record, as the result of its training."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(
        out.with_suffix(".json"), {**read_json(part.with_suffix(".json")), "shipped": part.name}
    )
    for suffix in (".csv", ".safetensors"):  # the weights last: they say that the job is done
        if part.with_suffix(suffix).exists():
            shutil.copy(part.with_suffix(suffix), out.with_suffix(suffix))


def train(plan: Plan, name: str, out: Path, max_seconds: float = float("inf")) -> None:
    """Run the training ``name`` of ``plan`` and write its weights to ``out``."""
    entry, config = plan.training(name), plan.config
    record = {
        "id": entry.id,
        "key": entry.key,
        "backbone": entry.backbone,
        "scale": entry.scale,
        "seed": entry.seed,
        "method": entry.method,
        "options": entry.options,
        "provenance": provenance(config.device),
    }
    if entry.method is None:
        settings = config.train.model_copy(update={"seed": entry.seed})
        record |= data_specification(settings)
        trainer = train_base(
            entry.backbone, entry.scale, settings, out.with_suffix(""), config.device, max_seconds
        )
        if trainer.rank == 0:
            export_trained(trainer, out, {**record, "train": settings.model_dump(mode="json")})
        return
    cls = METHODS.get(entry.method)
    method = cls(cls.Options.model_validate(entry.options))
    trained = paths.trained(config.name, entry.base) if entry.base else None
    source = config.base_of(entry.backbone) if entry.backbone != NO_BACKBONE else ""
    base = resolve_base(source, entry.backbone, entry.scale, trained) if source else None
    context = BuildContext(
        entry.backbone, entry.scale, config.device, config.precision, base, seed=entry.seed
    )
    record["base_weights"] = file_digest(base) if base else None
    part = (
        shipped_part(entry.method, entry.options, entry.backbone, entry.scale)
        if source == "shipped"
        else None
    )
    if part and read_json(part.with_suffix(".json")).get("base_weights") == record["base_weights"]:
        copy_part(part, out)
        return
    if isinstance(method, TrainedMethod):
        settings = config.finetune.model_copy(update={"seed": entry.seed})
        record |= data_specification(settings)
        trainer = finetune(method, context, settings, out.with_suffix(""), max_seconds)
        if trainer.rank == 0:
            layers = trainer.inner.teacher.loss.by_layer if trainer.inner.teacher else None
            export_trained(
                trainer,
                out,
                {**record, "train": settings.model_dump(mode="json"), "layers": layers},
            )
        return
    record |= data_specification()
    start = time.monotonic()
    learned = fit_method(method, entry, config, context)
    save_safetensors(out, learned, {"key": entry.key})
    numbers = {
        k: float(v) for k, v in learned.items() if v.numel() == 1
    }  # what fits a record: a ratio per layer
    write_json(
        out.with_suffix(".json"),
        {
            **record,
            "scenes": config.fit_scenes,
            "seconds": time.monotonic() - start,
            "layers": numbers or None,
        },
    )
