"""Adam with a cosine schedule, as both alignments use it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from bench3r.api.errors import InvalidPrediction


def minimise(
    loss: Callable[[], Tensor],
    parameters: Iterable[nn.Parameter],
    iterations: int,
    lr: tuple[float, float],
    what: str,
    after: Callable[[], None] = lambda: None,
) -> list[float]:
    """The loss before each of ``iterations`` steps, whose size goes from ``lr[0]`` to ``lr[1]`` along a cosine.

    ``after`` is called, without gradients, behind every step. Raises InvalidPrediction, naming ``what``, when the loss is
    not finite.
    """
    optimiser = torch.optim.Adam(list(parameters), lr=lr[0], betas=(0.9, 0.9), fused=True)
    losses: list[float] = []
    for step in range(iterations):
        for group in optimiser.param_groups:
            group["lr"] = lr[1] + (lr[0] - lr[1]) * 0.5 * (
                1 + math.cos(math.pi * step / iterations)
            )
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


def settled(losses: list[float], tolerance: float) -> bool:
    """Whether the last tenth of ``losses`` moved by less than ``tolerance`` of the last one."""
    recent = losses[-max(2, len(losses) // 10) :]
    return bool(recent) and abs(recent[0] - recent[-1]) <= tolerance * max(abs(recent[-1]), 1e-12)
