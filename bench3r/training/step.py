"""One forward pass of training: the network's own loss, a teacher's, and those of a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench3r.models.catalogue import NETWORKS
from bench3r.models.losses import Batch
from bench3r.models.trainable import Loss
from bench3r.training.config import TrainConfig
from bench3r.training.distillation import AttentionDistillation


@dataclass
class Teacher:
    """The frozen model that attention outputs are compared with.

    ``weight`` of that at a progress from 0 to 1.
    """

    loss: AttentionDistillation
    weight: Callable[[float], float]


class TrainStep(nn.Module):
    """Model and loss as one module, so that gradient synchronisation sees a single forward."""

    def __init__(self, model: Any, config: TrainConfig, teacher: Teacher | None = None) -> None:
        super().__init__()
        self.model = model
        self.teacher = teacher
        self.progress = 0.0
        self.weights = config.weights(model.name)
        losses = NETWORKS.get(model.name).part("losses")
        self.loss: Loss = losses.build_loss(model, self.weights)

    def forward(self, batch: Batch, views: Tensor) -> dict[str, Tensor]:
        """The weighted total and its parts, each []; dense losses on the views ``views`` [V]."""
        if self.teacher:
            self.teacher.loss.begin(batch, views)
        parts, facts, losses = self.loss(batch, views)
        weighted = [self.weights[name] * v for name, v in parts.items() if name in self.weights]
        total = torch.stack(weighted).sum()
        if self.teacher:
            parts["distillation"] = self.teacher.loss.loss()
            total = total + self.teacher.weight(self.progress) * parts["distillation"]
        for name, loss in losses.items():  # of a schedule, already weighted
            total = total + loss
            parts[name] = loss
        return {**parts, "total": total, **depth_facts(facts)}


def depth_facts(facts: Mapping[str, Any]) -> dict[str, Tensor]:
    """Mean recursion depth [] and the share [] of patches at each, for the training curve.

    Empty without recursion.
    """
    if "depth_histogram" not in facts:
        return {}
    counts = torch.tensor(facts["depth_histogram"], dtype=torch.float32)
    shown = {"mean_depth": torch.tensor(facts["mean_depth"])}
    for depth in range(1, len(counts)):
        shown[f"share_{depth}"] = counts[depth] / counts.sum()
    return shown
