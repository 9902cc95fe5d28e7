"""Train: a base from scratch, or what a method learns.

Weights are written as safetensors, the curve as CSV, a record as JSON.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from rich.progress import track
from torch.utils.data import DataLoader

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.api.method import BuildContext, Method, TrainedMethod
from bench3r.api.scene import SceneData
from bench3r.data.frame_lists import load_list, scene_names
from bench3r.data.picked import pick_scenes
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
from bench3r.run.context import Trained, context_of, method_of
from bench3r.run.keys import shipped_part
from bench3r.run.plan import DatasetEntry, Plan, TrainEntry
from bench3r.run.provenance import provenance
from bench3r.run.records import Json, TrainRecord, read_record
from bench3r.training.config import TrainConfig, TrainData
from bench3r.training.distillation import AttentionDistillation
from bench3r.training.initialisation import initialise
from bench3r.training.samples import (
    BatchStream,
    DatasetSource,
    ProceduralSource,
    SceneSource,
    crop_rows,
    open_scenes,
)
from bench3r.training.step import Teacher
from bench3r.training.trainer import Trainer
from bench3r.training.transfer import start_from

VIEWS_PER_SCENE = 8  # at least
BUFFER = 48  # scenes that a rendering process draws samples from ...
BUFFER_BYTES = 512 * 2**20  # ... and what they may take
FIT_FRAMES = 8  # of a scene in a closed-form fit, at most, unless the method asks for more
PREFETCHED = 4  # batches per rendering process


def start_processes() -> tuple[int, int]:
    """Join the process group when started by torchrun; rank and number of processes.

    Each process works on a GPU of its own: that of its number on the node, or the only one it sees.
    """
    if "RANK" in os.environ and not dist.is_initialized():
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        dist.init_process_group("nccl" if cuda else "gloo")
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def views_per_scene(config: TrainConfig) -> int:
    """Views of a training scene: enough for the largest sample."""
    return max(VIEWS_PER_SCENE, *config.view_counts)


def batch_source(
    backbone: str, scale: str, config: TrainConfig, rank: int, ranks: int
) -> Callable[[int], Iterator[Batch]]:
    """Endless batches of training scenes, from a number of scenes already seen.

    The scenes are real ones where the configuration names data, else procedural.
    """
    width = config.width or input_size(backbone, scale)[1]
    count = views_per_scene(config)
    source: SceneSource = ProceduralSource((width, width), count, TRAIN_SEEDS)
    if isinstance(config.data, dict) and config.data:
        source = DatasetSource(config.data, width, count, config.seed)
    scene_bytes = count * width * width * (3 + 4)  # colours and depth

    def batches(seen: int) -> Iterator[Batch]:
        stream = BatchStream(
            source=source,
            frames=config.frames_per_batch,
            view_counts=config.view_counts,
            heights=config.heights,
            queries=config.queries,
            reuse=config.reuse,
            seed=config.seed,
            first_scene=seen // config.reuse,
            rank=rank,
            ranks=ranks,
            buffer=min(BUFFER, max(1, BUFFER_BYTES // scene_bytes)),
        )
        ahead = PREFETCHED if config.workers else None
        loader = DataLoader(
            stream, batch_size=None, num_workers=config.workers, prefetch_factor=ahead
        )
        return iter(loader)

    return batches


def train_base(
    backbone: str,
    scale: str,
    config: TrainConfig,
    folder: Path,
    device: str = "cpu",
    max_seconds: float = float("inf"),
) -> Trainer:
    """Train ``backbone`` at ``scale``, or go on where it stopped in ``folder``.

    A network of pairs sees two views a scene, whatever ``config.view_counts`` asks of the others.
    """
    if not NETWORKS.get(backbone).is_backbone:
        config = config.model_copy(update={"view_counts": (2,)})
    keep_freed_memory()
    rank, ranks = start_processes()
    torch.manual_seed(config.seed)
    model = build_backbone(backbone, scale)
    batches = batch_source(backbone, scale, config, rank, ranks)
    initialise(model)
    if config.start in NETWORKS.get(backbone).starts_from:
        state = read_state_dict(resolve_base("shipped", config.start, scale, None))
        example = next(batch_source(backbone, scale, config, 0, 1)(0))  # one for all processes
        start_from(model, config.start, state, example.images)
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
    """Fine-tune the backbone as ``method`` changes it, or go on where it stopped in ``folder``.

    It starts from the weights of ``context``. Raises Bench3RError when processes shall share the
    views of scenes and the method, or its teacher, cannot.
    """
    keep_freed_memory()
    rank, ranks = start_processes()
    model = load_backbone(context)
    method.apply(model)
    model.to(context.device)
    shards = None
    if config.shard_views and ranks > 1:
        shards = method.shard_views(model)
        rank, ranks = 0, 1  # all see the same batches
    batches = batch_source(context.backbone, context.scale, config, rank, ranks)
    example = next(batch_source(context.backbone, context.scale, config, 0, 1)(0))  # one for all
    method.calibrate(model, example.images.to(context.device))
    method.prepare_training(model)
    teacher = None
    if method.teacher_weight(0.0) is not None:
        if shards is not None:
            raise Bench3RError("shard_views: a teacher sees all views, set the method's to none")
        dense = AttentionDistillation(model, load_backbone(context))
        teacher = Teacher(dense, lambda progress: method.teacher_weight(progress) or 0.0)
    torch.manual_seed(config.seed)
    device = context.device
    trainer = Trainer(model, config, folder, batches, device, teacher=teacher, shards=shards)
    trainer.run(max_seconds)
    return trainer


def export_trained(trainer: Trainer, out: Path, record: TrainRecord) -> None:
    """Write the averaged weights as float16 safetensors with their curve and record beside them.

    Of a method that trains only a part of its backbone, that part and the buffers. All processes
    call it, the first one writes.
    """
    frozen = trainer.frozen() if record.method is not None else set()
    weights = trainer.average()
    if trainer.rank > 0:
        return
    state = {}
    for name, tensor in weights.items():
        if name not in frozen:
            state[name] = tensor.half() if tensor.is_floating_point() else tensor
    save_safetensors(out, state, {"record": digest(record.model_dump(mode="json"))})
    shutil.copy(trainer.folder / "curve.csv", out.with_suffix(".csv"))
    done = record.model_copy()
    done.weights = file_digest(out)
    done.steps_done = trainer.step
    done.scenes_seen = trainer.scenes
    done.seconds = round(trainer.seconds, 1)
    write_record(out, done)


def write_record(out: Path, record: TrainRecord) -> None:
    """Write the record of the weights ``out`` beside them."""
    write_json(out.with_suffix(".json"), record.model_dump(mode="json"))


def data_specification(config: TrainConfig | None = None) -> Json:
    """What training scenes are made of, for the record."""
    if config is not None and isinstance(config.data, dict) and config.data:
        data: Json = {}
        for name, settings in config.data.items():
            data[name] = settings.model_dump(mode="json")
        return {"data": data, "views_per_scene": views_per_scene(config)}
    return {
        "data": "procedural",
        "generator_version": GENERATOR_VERSION,
        "styles": list(STYLES),
        "first_seed": TRAIN_SEEDS,
        "views_per_scene": views_per_scene(config) if config else VIEWS_PER_SCENE,
    }


def fit_scenes(count: int, size: tuple[int, int], frames: int) -> Iterator[SceneData]:
    """``count`` procedural training scenes of all styles as a method's ``fit`` sees them.

    Each has ``frames`` images of ``size`` (H, W).
    """
    for index in track(range(count), "fit", transient=True):
        style = STYLES[index % len(STYLES)]
        try:
            views = make_scene(style, TRAIN_SEEDS + index, frames, size, samples=1)[1]
        except RuntimeError:
            continue
        yield SceneData(
            name=f"train{index}",
            frames=tuple(map(str, range(frames))),
            images=views.images,
            intrinsics=views.intrinsics,
            c2w=views.c2w,
            depth=views.depth,
            unit="m",
            scene_type=SCENE_TYPE[style],
            icp_distance=0.1,
        )


def real_fit_scenes(
    data: dict[str, TrainData], count: int, size: tuple[int, int], frames: int
) -> Iterator[SceneData]:
    """``count`` stretches of real training scenes as a method's ``fit`` sees them.

    Each has ``frames`` images of ``size`` (H, W), fewer where the sequence is shorter.
    """
    height, width = size
    source = DatasetSource(data, width, frames)
    for index in track(range(count), "fit", transient=True):
        views = crop_rows(source(index), height)
        yield SceneData(
            name=f"train{index}",
            frames=tuple(map(str, range(len(views.images)))),
            images=views.images,
            intrinsics=views.intrinsics,
            c2w=views.c2w,
            depth=views.depth,
            unit="arbitrary",
            scene_type="",
            icp_distance=0.1,
        )


def fit_method(
    method: Method,
    entry: TrainEntry,
    config: RunConfig,
    context: BuildContext,
    data: dict[str, TrainData] | None = None,
) -> dict[str, torch.Tensor]:
    """What ``method`` learns in closed form from training scenes: tensors [...] by name.

    From the real ``data``, or from procedural scenes where there are none.
    """
    height, width, _ = input_size(config.sees(entry.backbone), entry.scale)
    counts = [count for count in config.frames if count] or [FIT_FRAMES]
    frames = method.fit_frames(entry.scale) or min(FIT_FRAMES, *counts)
    if data:
        scenes = real_fit_scenes(data, config.fit_scenes, (height, width), frames)
    else:
        scenes = fit_scenes(config.fit_scenes, (height, width), frames)
    return method.fit(scenes, context) or {}


def tested_scenes(name: str, entries: Iterable[DatasetEntry]) -> tuple[str, ...]:
    """The real scenes of the dataset ``name`` that a run with these data ``entries`` tests on."""
    found: set[str] = set()
    for entry in entries:
        if entry.name != name or entry.root == "procedural":
            continue
        dataset = DATASETS.get(name)(Path(entry.root).expanduser())
        if entry.frame_list:
            found |= set(scene_names(load_list(entry.frame_list), dataset.scenes()).values())
        else:
            found |= set(pick_scenes(dataset, entry.scenes))
    return tuple(sorted(found))


def copy_part(part: Path, out: Path) -> None:
    """Take what ships for a method, weights, curve and record, as the result of its training."""
    out.parent.mkdir(parents=True, exist_ok=True)
    record = read_json(part.with_suffix(".json"))
    write_json(out.with_suffix(".json"), {**record, "shipped": part.name})
    for suffix in (".csv", ".safetensors"):  # the weights last: they say that the job is done
        if part.with_suffix(suffix).exists():
            shutil.copy(part.with_suffix(suffix), out.with_suffix(suffix))


def matching_part(entry: TrainEntry, config: RunConfig, base_weights: str | None) -> Path | None:
    """The part that ships for the method of ``entry``, if it was trained from the same base."""
    if entry.method is None or entry.backbone == NO_BACKBONE:
        return None
    if config.base_of(entry.backbone) != "shipped":
        return None
    part = shipped_part(entry.method, entry.options, entry.backbone, entry.scale)
    if part is None:
        return None
    record = read_record(part.with_suffix(".json"), TrainRecord)
    return part if record.base_weights == base_weights else None


@dataclass(frozen=True)
class Training:
    """One training of a plan: what it is, where it goes, and how long it may take."""

    entry: TrainEntry
    config: RunConfig
    out: Path
    max_seconds: float
    datasets: tuple[DatasetEntry, ...] = ()  # that the run tests on

    def data(self, settings: TrainConfig) -> dict[str, TrainData]:
        """The real data to train on under ``settings``, without what is tested; or none.

        Where the settings name none, datasets of the run that cannot be trained on are left out.
        Raises Bench3RError when nothing is left.
        """
        chosen: dict[str, TrainData] = {}
        wanted = self.config.training_data(settings, self.entry.backbone)
        problems = []
        for name, data in wanted.items():
            tested = tested_scenes(name, self.datasets)
            data = data.model_copy(update={"leave_out": (*data.leave_out, *tested)})
            try:
                open_scenes(name, data)
            except Bench3RError as error:
                if settings.data:
                    raise
                problems.append(str(error))
                continue
            chosen[name] = data
        if wanted and not chosen:
            raise Bench3RError(
                f"no training scene in the data of this run ({'; '.join(problems)}): name real "
                "data in finetune.data, or set it to procedural"
            )
        return chosen

    def settings(self, wanted: TrainConfig) -> TrainConfig:
        """``wanted`` with the seed and the data of this training.

        Raises Bench3RError when it was started in another number of processes.
        """
        ranks = start_processes()[1]
        if ranks != wanted.gpus:
            command = f"torchrun --standalone --nproc-per-node {wanted.gpus} -m bench3r train ..."
            raise Bench3RError(
                f"gpus is {wanted.gpus}, but {ranks} processes run; start it as {command}"
            )
        return wanted.model_copy(update={"seed": self.entry.seed, "data": self.data(wanted)})

    def record(self) -> TrainRecord:
        """What is known of it before it starts."""
        entry = self.entry
        return TrainRecord(
            id=entry.id,
            key=entry.key,
            backbone=entry.backbone,
            scale=entry.scale,
            seed=entry.seed,
            method=entry.method,
            options=entry.options,
            provenance=provenance(self.config.device),
        )

    def train_base(self) -> None:
        """A base on training scenes."""
        entry = self.entry
        settings = self.settings(self.config.train)
        folder = self.out.with_suffix("")
        device = self.config.device
        trainer = train_base(
            entry.backbone, entry.scale, settings, folder, device, self.max_seconds
        )
        export_trained(trainer, self.out, with_settings(self.record(), settings))

    def train_method(self, name: str) -> None:
        """What the method ``name`` learns, or what ships of it."""
        method = method_of(name, self.entry.options)
        base = paths.trained(self.config.name, self.entry.base) if self.entry.base else None
        context = context_of(self.entry, self.config, Trained(base), self.entry.seed)
        record = self.record()
        record.base_weights = file_digest(context.weights) if context.weights else None
        part = matching_part(self.entry, self.config, record.base_weights)
        if part is None and isinstance(method, TrainedMethod):
            self._finetune(method, context, record)
        elif start_processes()[0] > 0:
            return  # one process does what needs no more
        elif part is not None:
            copy_part(part, self.out)
        else:
            self._fit(method, context, record)

    def _finetune(self, method: TrainedMethod, context: BuildContext, record: TrainRecord) -> None:
        settings = self.settings(self.config.finetune_of(method.name))
        folder = self.out.with_suffix("")
        trainer = finetune(method, context, settings, folder, self.max_seconds)
        teacher = trainer.inner.teacher
        record.layers = teacher.loss.by_layer if teacher else None
        export_trained(trainer, self.out, with_settings(record, settings))

    def _fit(self, method: Method, context: BuildContext, record: TrainRecord) -> None:
        start = time.monotonic()
        settings = self.config.finetune_of(method.name)
        data = self.data(settings)
        learned = fit_method(method, self.entry, self.config, context, data)
        save_safetensors(self.out, learned, {"key": self.entry.key})
        # What fits a record: one number per layer.
        numbers = {name: float(v) for name, v in learned.items() if v.numel() == 1}
        update = {
            **data_specification(settings.model_copy(update={"data": data})),
            "scenes": self.config.fit_scenes,
            "seconds": time.monotonic() - start,
            "layers": numbers or None,
        }
        write_record(self.out, record.model_copy(update=update))


def with_settings(record: TrainRecord, settings: TrainConfig) -> TrainRecord:
    """``record`` with what the training scenes were, and the settings of the training."""
    update = {**data_specification(settings), "train": settings.model_dump(mode="json")}
    return record.model_copy(update=update)


def train(plan: Plan, name: str, out: Path, max_seconds: float = float("inf")) -> None:
    """Run the training ``name`` of ``plan`` and write its weights to ``out``."""
    start_processes()
    entry = plan.training(name)
    training = Training(entry, plan.config, out, max_seconds, tuple(plan.datasets))
    if entry.method is None:
        training.train_base()
    else:
        training.train_method(entry.method)
    if dist.is_initialized():
        dist.destroy_process_group()
