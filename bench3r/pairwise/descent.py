"""Adam with a cosine schedule, as both alignments use it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench3r.api.errors import InvalidPrediction


@dataclass(frozen=True)
class Schedule:
    """How many steps there are, and how their size falls along a cosine."""

    iterations: int
    first: float
    last: float = 0.0

    def size(self, step: int) -> float:
        """Of the step number ``step``, from 0."""
        cosine = math.cos(math.pi * step / self.iterations)
        return self.last + (self.first - self.last) * 0.5 * (1 + cosine)


def minimise(
    loss: Callable[[], Tensor],
    parameters: Iterable[nn.Parameter],
    schedule: Schedule,
    what: str,
    after: Callable[[], None] = lambda: None,
) -> list[float]:
    """The loss [] before each step of the ``schedule``.

    ``after`` is called, without gradients, behind every step. Raises InvalidPrediction, naming
    ``what``, when the loss is not finite.
    """
    optimiser = torch.optim.Adam(list(parameters), lr=schedule.first, betas=(0.9, 0.9), fused=True)
    losses: list[float] = []
    for step in range(schedule.iterations):
        for group in optimiser.param_groups:
            group["lr"] = schedule.size(step)
        optimiser.zero_grad()
        value = loss()
        losses.append(float(value.detach()))
        if not math.isfinite(losses[-1]):
            raise InvalidPrediction(
                f"{what} diverged: the loss is {losses[-1]} at iteration {step}"
            )
        value.backward()
        optimiser.step()
        with torch.no_grad():
            after()
    return losses


def converged(losses: list[float], tolerance: float) -> bool:
    """Whether the last tenth of ``losses`` moved by less than ``tolerance`` of the last one."""
    recent = losses[-max(2, len(losses) // 10) :]
    return bool(recent) and abs(recent[0] - recent[-1]) <= tolerance * max(abs(recent[-1]), 1e-12)
