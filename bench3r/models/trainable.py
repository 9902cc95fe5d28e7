"""What training asks of a network and of its loss, and the loss that all backbones build on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from bench3r.api.reconstruction import Reconstruction
from bench3r.models.backbone import Backbone
from bench3r.models.losses import Batch
from bench3r.models.matching import matching_loss, record_middle

# a backbone's own parts of the loss, by name: of its reconstruction, which has dense maps for
# the views [V] alone
OwnParts = Callable[[Reconstruction, Batch, Tensor], dict[str, Tensor]]


class TrainableNetwork(Protocol):
    """A network as the trainer sees it, besides being a module."""

    trunk_dtype: torch.dtype | None  # None: float32

    @property
    def name(self) -> str:
        """The name of its entry in the catalogue."""

    def training_blocks(self) -> list[nn.Module]:
        """The transformer blocks that make up most of it, which several processes shard."""

    def modules_without_loss(self, weights: Mapping[str, float]) -> list[nn.Module]:
        """Modules that no part of the loss reaches under these ``weights``."""

    def follow_training(self, progress: float, transition: float) -> None:
        """Told before every step how much of the training is over, from 0 to 1.

        A network that started from another's weights may change from that network's form to its
        own over the share ``transition`` of the training.
        """


class LossParts(NamedTuple):
    """What a loss says of one batch."""

    parts: dict[str, Tensor]  # scalars by name, to be weighted
    facts: Mapping[str, Any]  # what the schedule of a method reports
    losses: dict[str, Tensor]  # the schedule's own, weighted, []


class Loss(Protocol):
    """The loss of one network; ``losses.build_loss(model, weights)`` of its folder makes it."""

    def __call__(self, batch: Batch, views: Tensor) -> LossParts:
        """Run the network on ``batch``; dense parts on its views ``views`` [V] alone."""


class BackboneLoss:
    """A backbone's own loss, and the guidance of its attention where that weighs something."""

    def __init__(self, model: Backbone, weights: Mapping[str, float], own: OwnParts) -> None:
        self.model, self.weights, self.own = model, weights, own
        self.guided = record_middle(model) if weights.get("matching") else []

    def __call__(self, batch: Batch, views: Tensor) -> LossParts:
        """Parts of the loss on ``batch``; dense ones on its views ``views`` [V]."""
        out, layout = self.model.run_trunk(batch.images)
        queries = batch.queries if self.weights.get("track") else None
        result = self.model.run_heads(out, layout, batch.images, queries, views)
        parts = self.own(result, batch, views)
        if self.guided:
            knows_first = self.model.has_reference_view
            parts["matching"] = matching_loss(self.guided, layout, batch, knows_first)
        return LossParts(parts, out.facts, out.losses)
