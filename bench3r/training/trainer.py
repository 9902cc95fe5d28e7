"""Training loop of any scale: AdamW, warm-up and cosine, clipping, checkpoints that survive kill -9, several processes."""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from bench3r.models.catalogue import NETWORKS
from bench3r.models.depth_anything_3.losses import da3_losses
from bench3r.models.layers import Block
from bench3r.models.losses import Batch
from bench3r.models.pair.losses import pair_losses
from bench3r.models.pair.network import DecoderBlock, PairNetwork
from bench3r.models.pi3.losses import pi3_losses
from bench3r.models.vggt.losses import vggt_losses
from bench3r.training.config import TrainConfig
from bench3r.training.distillation import AttentionDistillation
from bench3r.training.matching import matching_loss, record_middle

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
LOSSES = {"vggt": vggt_losses, "pi3": pi3_losses, "depth_anything_3": da3_losses}  # by backbone
CURVE = [
    "step",
    "seconds",
    "lr",
    "total",
    "camera",
    "depth",
    "point",
    "track",
    "matching",
    "gradient_norm",
    "scenes",
]


@dataclass
class Teacher:
    """The frozen model that attention outputs are compared with, and the weight of that at a progress from 0 to 1."""

    loss: AttentionDistillation
    weight: Callable[[float], float]


class TrainStep(nn.Module):
    """Model and loss as one module, so that gradient synchronisation sees a single forward."""

    def __init__(
        self, model: nn.Module, config: TrainConfig, teacher: Teacher | None = None
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.teacher, self.progress = teacher, 0.0
        self.weights = config.weights(str(self.model.name))
        whole = not isinstance(model, PairNetwork)  # a backbone that sees all views at once
        self.guided = record_middle(model) if whole and self.weights.get("matching") else []

    def forward(self, batch: Batch, views: Tensor) -> dict[str, Tensor]:
        """The weighted total and its parts; dense losses on ``views``."""
        if isinstance(self.model, PairNetwork):
            parts = pair_losses(self.model, batch, self.weights)
            return {**parts, "total": self._total(parts)}
        if self.teacher:
            self.teacher.loss.forget()
        out, layout = self.model.run_trunk(batch.images)
        queries = batch.queries if self.weights.get("track") else None
        result = self.model.run_heads(out, layout, batch.images, queries, views)
        parts = LOSSES[self.model.name](result, batch, views)
        if self.guided:
            parts["matching"] = matching_loss(
                self.guided, layout, batch, self.model.has_reference_view
            )
        parts["total"] = self._total(parts)
        if self.teacher:
            parts["distillation"] = self.teacher.loss(batch, views)
            parts["total"] = (
                parts["total"] + self.teacher.weight(self.progress) * parts["distillation"]
            )
        for name, extra in out.extras.get(
            "losses", {}
        ).items():  # a schedule's own losses, already weighted
            parts["total"] = parts["total"] + extra
            parts[name] = extra
        return parts | depth_facts(out.extras)

    def _total(self, parts: dict[str, Tensor]) -> Tensor:
        return torch.stack(
            [self.weights[k] * v for k, v in parts.items() if k in self.weights]
        ).sum()


def depth_facts(extras: dict[str, Any]) -> dict[str, Tensor]:
    """Mean recursion depth and the share of patches at each depth, for the training curve; empty without recursion."""
    if "depth_histogram" not in extras:
        return {}
    counts = torch.tensor(extras["depth_histogram"], dtype=torch.float32)
    shares = {f"share_{d}": c / counts.sum() for d, c in enumerate(counts) if d}
    return {"mean_depth": torch.tensor(extras["mean_depth"]), **shares}


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then cosine from ``lr`` to ``final_lr``."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    return config.final_lr + (config.lr - config.final_lr) * 0.5 * (
        1 + math.cos(math.pi * progress)
    )


def position_spread(progress: float, settle: float) -> float:
    """How far positions are spread at ``progress`` of a training that lets them ``settle``: 1 for the first third of
    that time, then linearly down to 0."""
    return 0.0 if progress >= settle else min(1.0, 1.5 * (1 - progress / settle))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay on matrices and kernels; none on vectors, tokens and tables."""
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    decay = [p for n, p in trained if p.dim() >= 2 and n.endswith("weight")]
    rest = [p for n, p in trained if not (p.dim() >= 2 and n.endswith("weight"))]
    return [{"params": decay, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def initialise(model: nn.Module) -> None:
    """Small random weights for training from scratch: truncated normal 0.02 for linear layers, tokens and tables.

    The short camera decoder of Depth-Anything-3 keeps torch's larger ones: its signal would be lost on the way.
    """
    network = NETWORKS.all().get(str(getattr(model, "name", "")))
    first = network.first_biases if network else {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and ".cam_dec." not in name:
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    for name, parameter in model.named_parameters():
        if name.endswith(("pos_embed", "_token", "register_tokens", "empty_pose_tokens")):
            nn.init.trunc_normal_(parameter, std=0.02)
        for ending, start in first.items():
            if name.endswith(ending):
                with torch.no_grad():
                    parameter.copy_(torch.tensor(start))


class Ema:
    """Exponential moving average of the parameters, with a warm-up so that early weights are forgotten."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards ``model`` after ``step`` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value.detach(), 1 - decay)
            else:
                self.weights[name].copy_(value)


class Trainer:
    """One training run in ``folder``: checkpoint.pt (resume), curve.csv.

    ``batches(first_scene)`` gives endless batches starting from that scene number. The run resumes from the last
    checkpoint in ``folder`` when there is one, so a kill loses at most ``checkpoint_every`` steps.
    """

    def __init__(
        self,
        model: Any,
        config: TrainConfig,
        folder: Path,
        batches: Callable[[int], Iterator[Batch]],
        device: str = "cpu",
        teacher: Teacher | None = None,
    ) -> None:
        self.config, self.folder, self.batches = config, folder, batches
        self.rank, self.ranks = _rank(), _ranks()
        self.device = torch.device(device)
        self.model: Any = model.to(self.device).train()
        self._freeze_unused()
        if config.precision == "bf16":
            self.model.trunk_dtype = torch.bfloat16
        if config.activation_checkpointing:
            checkpoint_blocks(self.model)
        self.step, self.scenes, self.seconds = 0, 0, 0.0
        self.sharded = self.ranks > 1 and config.sharding == "fsdp"
        self.inner = TrainStep(self.model, config, teacher)
        self.module = self._wrap(self.inner)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, config.weight_decay), betas=(0.9, 0.95)
        )
        self.ema = Ema(self.model, config.ema)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def _freeze_unused(self) -> None:
        """No loss reaches the track head when tracks weigh nothing."""
        if not self.config.weights(self.model.name).get("track") and hasattr(
            self.model, "track_head"
        ):
            self.model.track_head.requires_grad_(False)

    def _wrap(self, step: TrainStep) -> nn.Module:
        if self.ranks == 1:
            return step
        if self.sharded:
            for block in training_blocks(self.model):
                fully_shard(block)
            fully_shard(step)
            return step
        return DistributedDataParallel(step, find_unused_parameters=True)

    @property
    def checkpoint(self) -> Path:
        """The resumable state."""
        return self.folder / "checkpoint.pt"

    def _resume(self) -> None:
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if self.sharded:
            set_model_state_dict(self.model, state["ema"], options=WHOLE)
            self.ema = Ema(self.model, self.config.ema)
            set_state_dict(
                self.model,
                self.optimizer,
                model_state_dict=state["model"],
                optim_state_dict=state["optimizer"],
                options=WHOLE,
            )
        else:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.ema.weights = state["ema"]
        self.step, self.scenes, self.seconds = state["step"], state["scenes"], state["seconds"]

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs; whole tensors also where parameters are sharded (a collective call then)."""
        if self.sharded:
            model, optimizer = get_state_dict(self.model, self.optimizer, options=WHOLE)
            ema: dict[str, Any] = {
                k: v.full_tensor() if isinstance(v, DTensor) else v
                for k, v in self.ema.weights.items()
            }
        else:
            model, optimizer, ema = (
                self.model.state_dict(),
                self.optimizer.state_dict(),
                self.ema.weights,
            )
        progress = {"step": self.step, "scenes": self.scenes, "seconds": self.seconds}
        return {"model": model, "ema": ema, "optimizer": optimizer, **progress}

    def save(self) -> None:
        """Write the checkpoint atomically, on the first process."""
        state = self.state()
        if self.rank == 0:
            partial = self.checkpoint.with_suffix(f".tmp{os.getpid()}")
            torch.save(state, partial)
            os.replace(partial, self.checkpoint)

    def _forward_backward(self, batch: Batch, last: bool) -> dict[str, float]:
        count = batch.images.shape[1]
        views = torch.randperm(count)[: max(1, round(self.config.dense_share * count))].to(
            self.device
        )
        quiet = (
            nullcontext()
            if last or not isinstance(self.module, DistributedDataParallel)
            else self.module.no_sync()
        )
        with quiet:
            parts = self.module(batch.to(self.device), views)
            (parts["total"] / self.config.accumulate).backward()
        return {k: float(v.detach()) for k, v in parts.items()}

    def train_step(self, stream: Iterator[Batch]) -> dict[str, float]:
        """One optimiser step on ``accumulate`` batches; returns loss parts, gradient norm and learning rate.

        Raises FloatingPointError when the loss is not finite: the last checkpoint stays as it was.
        """
        lr = learning_rate(self.step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.inner.progress = self.step / self.config.steps
        if hasattr(self.model, "schedule"):
            self.model.schedule.set_progress(self.model, self.inner.progress)
        if hasattr(self.model, "trunk"):
            self.model.trunk.spread_positions(
                position_spread(self.inner.progress, self.config.settle)
            )
        self._freeze_unused()
        for micro in range(self.config.accumulate):
            batch = next(stream)
            row = self._forward_backward(batch, micro == self.config.accumulate - 1)
            self.scenes += len(batch.images) * self.ranks
        if not math.isfinite(row["total"]):
            raise FloatingPointError(f"loss is {row['total']} at step {self.step}: {row}")
        norm = nn.utils.clip_grad_norm_(
            [p for p in self.model.parameters() if p.requires_grad], self.config.clip
        )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.ema.update(self.model, self.step)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        return {**row, "gradient_norm": float(norm), "lr": lr}

    def run(self, max_seconds: float = math.inf) -> None:
        """Train to ``config.steps`` or until ``max_seconds`` of this call are over, then save."""
        stream, begin, before = self.batches(self.scenes), time.monotonic(), self.seconds
        torch.manual_seed(self.config.seed + self.step)
        curve = Curve(self.folder / "curve.csv", self.step) if self.rank == 0 else None
        with self._progress() as bar:
            task = bar.add_task("train", total=self.config.steps, completed=self.step, losses="")
            while self.step < self.config.steps and time.monotonic() - begin < max_seconds:
                row = self.train_step(stream)
                self.seconds = before + time.monotonic() - begin
                if curve and (
                    self.step % self.config.log_every == 0 or self.step == self.config.steps
                ):
                    curve.add(
                        {**row, "step": self.step, "seconds": self.seconds, "scenes": self.scenes}
                    )
                shown = " ".join(
                    f"{k} {row[k]:.3f}"
                    for k in ("total", "camera", "depth", "point", "matching")
                    if k in row
                )
                bar.update(task, completed=self.step, losses=shown)
                if self.step % self.config.checkpoint_every == 0:
                    self.save()
        self.save()

    def _progress(self) -> Progress:
        columns = (TextColumn("train"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        return Progress(*columns, TextColumn("{task.fields[losses]}"), disable=self.rank != 0)


class Curve:
    """Training curve as CSV; rows after ``step`` (written by a run that was killed) are dropped on opening.

    The usual columns come first; what a method adds (its losses, depths) follows as the first row names it.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.columns: list[str] = []
        if path.exists():
            with path.open(newline="") as file:
                reader = csv.DictReader(file)
                rows = [r for r in reader if r.get("step") and int(r["step"]) <= step]
                self.columns = list(reader.fieldnames or [])
            self._write(path.with_suffix(".tmp"), rows)

    def _write(self, partial: Path, rows: list[dict[str, Any]]) -> None:
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(partial, self.path)

    def add(self, row: dict[str, Any]) -> None:
        """Append one row; columns that ``row`` lacks stay empty."""
        if not self.columns:
            self.columns = [*CURVE, *(k for k in row if k not in CURVE)]
            self._write(self.path.with_suffix(".tmp"), [])
        shown = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, extrasaction="ignore").writerow(shown)


def training_blocks(model: Any) -> list[nn.Module]:
    """The transformer blocks that make up most of ``model``: a backbone's trunk, a pair network's encoder and decoders."""
    if isinstance(model, PairNetwork):
        return [*model.enc_blocks, *model.dec_blocks, *model.dec_blocks2]
    return [*model.trunk.frame_blocks, *model.trunk.global_blocks]


def checkpoint_blocks(model: nn.Module) -> None:
    """Recompute transformer blocks in the backward pass instead of keeping their activations."""
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
        apply_activation_checkpointing,
    )

    apply_activation_checkpointing(model, check_fn=lambda m: isinstance(m, Block | DecoderBlock))


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _ranks() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1
