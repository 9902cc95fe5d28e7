"""Training loop of any scale: AdamW, clipping, checkpoints, several processes.

Checkpoints survive kill -9.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

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

from bench3r.attention.view_shards import ViewShards
from bench3r.models.layers import TransformerBlock
from bench3r.models.losses import Batch
from bench3r.training.config import TrainConfig
from bench3r.training.curve import Curve
from bench3r.training.optimisation import Ema, learning_rate, parameter_groups
from bench3r.training.step import Teacher, TrainStep

WRAPPED = "_checkpoint_wrapped_module."  # in names of parameters of recomputed blocks
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
SHOWN = ("total", "camera", "depth", "point", "matching")  # losses beside the progress bar


# state dicts as torch gives and takes them
StateDict = dict[str, Any]


class TrainState(TypedDict):
    """All that a resumed run needs."""

    model: StateDict
    ema: StateDict
    optimizer: StateDict
    step: int
    scenes: int
    seconds: float


class Trainer:
    """One training run in ``folder``: checkpoint.pt (resume), curve.csv.

    ``batches(first_scene)`` gives endless batches starting from that scene number. The run resumes
    from the last checkpoint in ``folder`` when there is one, so a kill loses at most
    ``checkpoint_every`` steps. ``model`` is a
    :class:`~bench3r.models.trainable.TrainableNetwork`.
    """

    def __init__(
        self,
        model: Any,
        config: TrainConfig,
        folder: Path,
        batches: Callable[[int], Iterator[Batch]],
        device: str = "cpu",
        teacher: Teacher | None = None,
        shards: ViewShards | None = None,
    ) -> None:
        self.shards = shards  # where processes share the views of the same batches
        self.config = config
        self.folder = folder
        self.batches = batches
        self.rank = _rank()
        self.ranks = _ranks()
        self.device = torch.device(device)
        self.step = 0
        self.scenes = 0
        self.seconds = 0.0
        self.sharded = self.ranks > 1 and config.sharding == "fsdp"
        self.model: Any = model.to(self.device).train()
        self._freeze_unused()
        if config.precision == "bf16":
            self.model.trunk_dtype = torch.bfloat16
        if config.activation_checkpointing:
            checkpoint_blocks(self.model, teacher.loss.contexts if teacher else None)
        self.inner = TrainStep(self.model, config, teacher)
        self.module = self._wrap(self.inner)
        groups = parameter_groups(self.model, config.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95))
        self.ema = Ema(self.model, config.ema)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def _freeze_unused(self) -> None:
        for module in self.model.modules_without_loss(self.config.weights(self.model.name)):
            module.requires_grad_(False)

    def _wrap(self, step: TrainStep) -> nn.Module:
        if self.ranks == 1:
            return step
        if self.sharded:
            for block in self.model.training_blocks():
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
        state: TrainState = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
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
        self.step = state["step"]
        self.scenes = state["scenes"]
        self.seconds = state["seconds"]

    def state(self) -> TrainState:
        """All that a resumed run needs.

        Whole tensors also where parameters are sharded (a collective call then).
        """
        ema = self.ema.weights
        if self.sharded:
            model, optimizer = get_state_dict(self.model, self.optimizer, options=WHOLE)
            ema = self.average()
        else:
            model = self.model.state_dict()
            optimizer = self.optimizer.state_dict()
        return {
            "model": model,
            "ema": ema,
            "optimizer": optimizer,
            "step": self.step,
            "scenes": self.scenes,
            "seconds": self.seconds,
        }

    def average(self) -> StateDict:
        """The averaged weights by name, whole also where they are sharded (a collective call)."""
        return {name: _whole(value) for name, value in self.ema.weights.items()}

    def frozen(self) -> set[str]:
        """The names in the state dict of what is not trained."""
        still = (n for n, p in self.model.named_parameters() if not p.requires_grad)
        return {name.replace(WRAPPED, "") for name in still}

    def save(self) -> None:
        """Write the checkpoint atomically, on the first process."""
        state = self.state()
        if self.rank == 0:
            partial = self.checkpoint.with_suffix(f".tmp{os.getpid()}")
            torch.save(state, partial)
            os.replace(partial, self.checkpoint)

    def _quiet(self, last: bool) -> AbstractContextManager[Any]:
        """No synchronisation of gradients before the last batch of a step."""
        if last or not isinstance(self.module, DistributedDataParallel):
            return nullcontext()
        return self.module.no_sync()

    def _forward_backward(self, batch: Batch, last: bool) -> dict[str, float]:
        views = self._dense_views(batch.images.shape[1]).to(self.device)
        with self._quiet(last):
            parts = self.module(batch.to(self.device), views)
            (parts["total"] / self.config.accumulate).backward()
        return {name: float(value.detach()) for name, value in parts.items()}

    def _dense_views(self, count: int) -> Tensor:
        """Views [V] of ``count`` that get dense losses now; its own where processes share them."""
        first = 0
        if self.shards is not None:
            self.shards.start(count)
            own = self.shards.own()
            first, count = own.start, own.stop - own.start
        dense = max(1, round(self.config.dense_share * count))
        return first + torch.randperm(count)[:dense]

    def train_step(self, stream: Iterator[Batch]) -> dict[str, float]:
        """One optimiser step on ``accumulate`` batches.

        Returns loss parts, gradient norm and learning rate. Raises FloatingPointError when the loss
        is not finite: the last checkpoint stays as it was.
        """
        lr = learning_rate(self.step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.inner.progress = self.step / self.config.steps
        self.model.follow_training(self.inner.progress, self.config.settle)
        self._freeze_unused()
        for micro in range(self.config.accumulate):
            batch = next(stream)
            row = self._forward_backward(batch, micro == self.config.accumulate - 1)
            self.scenes += len(batch.images) * (1 if self.shards else self.ranks)
        if not math.isfinite(row["total"]):
            raise FloatingPointError(f"loss is {row['total']} at step {self.step}: {row}")
        trained = [p for p in self.model.parameters() if p.requires_grad]
        norm = nn.utils.clip_grad_norm_(trained, self.config.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.ema.update(self.model, self.step)
        return {**row, "gradient_norm": float(_whole(norm)), "lr": lr}

    def run(self, max_seconds: float = math.inf) -> None:
        """Train to ``config.steps`` or until ``max_seconds`` of this call are over, then save."""
        stream = self.batches(self.scenes)
        begin = time.monotonic()
        before = self.seconds
        torch.manual_seed(self.config.seed + self.step)
        curve = Curve(self.folder / "curve.csv", self.step) if self.rank == 0 else None
        with self._progress() as bar:
            task = bar.add_task("train", total=self.config.steps, completed=self.step, losses="")
            while self.step < self.config.steps and time.monotonic() - begin < max_seconds:
                row = self.train_step(stream)
                self.seconds = before + time.monotonic() - begin
                if curve:
                    self._log(curve, row)
                shown = " ".join(f"{name} {row[name]:.3f}" for name in SHOWN if name in row)
                bar.update(task, completed=self.step, losses=shown)
                if self.step % self.config.checkpoint_every == 0:
                    self.save()
        self.save()

    def _log(self, curve: Curve, row: dict[str, float]) -> None:
        if self.step % self.config.log_every == 0 or self.step == self.config.steps:
            progress = {"step": self.step, "seconds": self.seconds, "scenes": self.scenes}
            curve.add({**row, **progress})

    def _progress(self) -> Progress:
        columns = (TextColumn("train"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        return Progress(*columns, TextColumn("{task.fields[losses]}"), disable=self.rank != 0)


# around the first and the second computation of a block that is computed again
Contexts = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]


def checkpoint_blocks(model: nn.Module, contexts: Contexts | None = None) -> None:
    """Recompute transformer blocks in the backward pass instead of keeping their activations."""
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
        apply_activation_checkpointing,
        checkpoint_wrapper,
    )

    wrap = partial(checkpoint_wrapper, context_fn=contexts) if contexts else checkpoint_wrapper
    apply_activation_checkpointing(
        model, checkpoint_wrapper_fn=wrap, check_fn=lambda m: isinstance(m, TransformerBlock)
    )


def _whole(value: Tensor) -> Tensor:
    """All of a tensor that may be sharded."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _ranks() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1
