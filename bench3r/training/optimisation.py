"""What the optimiser works on and how fast, and the average of what it finds."""

from __future__ import annotations

import math

from torch import nn
from torch.optim.optimizer import ParamsT

from bench3r.training.config import TrainConfig


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then cosine from ``lr`` to ``final_lr``."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    progress = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return config.final_lr + (config.lr - config.final_lr) * cosine


def parameter_groups(model: nn.Module, weight_decay: float) -> ParamsT:
    """Decay on matrices and kernels; none on vectors, tokens and tables."""
    decay: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        matrix = parameter.dim() >= 2 and name.endswith("weight")
        (decay if matrix else rest).append(parameter)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


class Ema:
    """Exponential moving average of the parameters; early weights are forgotten by a warm-up."""

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
