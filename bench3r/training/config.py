"""Settings of a training run. Kept apart from the trainer so that planning imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from bench3r.models.catalogue import NETWORKS


class TrainData(BaseModel):
    """Real data to train on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str | None = None  # None: that of the run's dataset of this name
    frame_list: str | None = None  # only the scenes of this list (a training split); None: all
    # scenes never trained on; those that the run tests on are added to them
    leave_out: tuple[str, ...] = ()


class TrainConfig(BaseModel):
    """Optimisation, batches and bookkeeping of one training run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # real datasets by name, scenes in turn, or "procedural"; none: procedural scenes, and at full
    # scale all real data of the run with depth and poses. Never the scenes that the run tests on
    data: dict[str, TrainData] | Literal["procedural"] = {}
    # a weights file to go on from, "shipped", or the name of a network whose weights partly fit
    start: str = "scratch"
    steps: int = Field(1000, gt=0)
    lr: float = Field(1e-3, gt=0)
    final_lr: float = Field(1e-5, ge=0)
    warmup: int = Field(200, ge=0)
    weight_decay: float = Field(0.05, ge=0)
    clip: float = Field(1.0, gt=0)
    frames_per_batch: int = Field(12, gt=0)
    view_counts: tuple[int, ...] = (2, 3, 4, 6)
    # image width; None: the scale's. Smaller images see more scenes in the same time
    width: int | None = None
    heights: tuple[int, ...] = (96, 72)  # image heights drawn from, at most the width
    # share of the views that get dense losses in a step
    dense_share: float = Field(0.5, gt=0, le=1)
    queries: int = Field(24, gt=0)  # tracked points per scene
    # share of the training over which a network that started from another's weights changes from
    # that network's form to its own, if the two differ. The key keeps its old name because shipped
    # training records hold it
    settle: float = Field(0.0, ge=0, le=1)
    reuse: int = Field(6, gt=0)  # samples drawn per rendered scene
    # None: as published for the backbone; parts not named weigh nothing
    loss_weights: dict[str, float] | None = None
    ema: float = Field(0.999, ge=0, lt=1)
    checkpoint_every: int = Field(250, gt=0)
    log_every: int = Field(25, gt=0)
    workers: int = Field(1, ge=0)  # processes that render, per training process
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    activation_checkpointing: bool = False
    accumulate: int = Field(1, gt=0)
    sharding: Literal["none", "fsdp"] = "none"
    # processes of one training, each on a GPU of its own, all on one node; batches are per process
    gpus: int = Field(1, gt=0)
    # processes share the views of the same batches instead, where the method allows it
    shard_views: bool = False

    def weights(self, backbone: str) -> dict[str, float]:
        """The weight of every part of the loss."""
        if self.loss_weights is not None:
            return self.loss_weights
        return dict(NETWORKS.get(backbone).loss_weights)


class FinetuneConfig(TrainConfig):
    """Settings for the fine-tuning of methods from the base.

    The same for all, so that none is better trained.
    """

    steps: int = Field(60, gt=0)
    lr: float = Field(5e-4, gt=0)
    warmup: int = Field(5, ge=0)
    frames_per_batch: int = Field(8, gt=0)
    view_counts: tuple[int, ...] = (4,)
    heights: tuple[int, ...] = (72,)
    ema: float = Field(0.9, ge=0, lt=1)
    checkpoint_every: int = Field(50, gt=0)
    log_every: int = Field(1, gt=0)
    workers: int = Field(0, ge=0)

    def weights(self, backbone: str) -> dict[str, float]:
        """As for bases, but tracks are left out."""
        weights = super().weights(backbone)
        if not self.loss_weights:
            weights.pop("track", None)
        return weights
