"""When a trunk may stop: how much a reconstruction still changes, and what a probe predicts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.recursion.recovery import AffineStatistics

PROBE_RIDGE = 1e-2  # few scenes, many features


def relative_change(now: Tensor, before: Tensor) -> Tensor:
    """Relative change per scene [B] of z-depths [B, ...], under the best scale s.

    mean |now - s before| / median(now)
    """
    a = now.flatten(1)
    b = before.flatten(1)
    scale = (a * b).sum(1) / b.square().sum(1).clamp(min=1e-12)
    error = (a - scale[:, None] * b).abs().mean(1)
    return error / a.median(1).values.clamp(min=1e-12)


def pose_change(now: Tensor, before: Tensor) -> Tensor:
    """Largest angle per scene [B], in radians, between two predictions of poses [B, S, 3, 4].

    Angles are those between rotations and between directions of translation.
    """
    turn = now[..., :3] @ before[..., :3].mT
    cosine = (turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    direction = F.cosine_similarity(now[:, 1:, :, 3], before[:, 1:, :, 3], dim=-1)
    angles = torch.cat([cosine, direction], 1).clamp(-1, 1).acos()
    return angles.amax(1)


def token_change(now: Tensor, before: Tensor) -> Tensor:
    """1 - mean cosine per scene [B] between tokens [B, S, T, C] of two consecutive pairs."""
    return 1 - F.cosine_similarity(before, now, dim=-1).mean((1, 2))


def probe_features(output: Tensor, special: int) -> Tensor:
    """Camera token and mean patch [B, 4C], averaged over views, of an output [B, S, T, 2C]."""
    return torch.cat([output[:, :, 0].mean(1), output[:, :, special:].mean((1, 2))], -1)


class ErrorProbe:
    """Ridge regression of the log error of an exit, with a conformal margin.

    The bias is raised until the prediction lies above the error in a share ``1 - margin`` of the
    held-out scenes.
    """

    def __init__(self, features: int) -> None:
        self.statistics = AffineStatistics(features, 1)
        self.held_out: list[tuple[Tensor, Tensor]] = []

    def add(self, features: Tensor, error: Tensor, hold_out: bool) -> None:
        """Take in ``features`` [B, n] of scenes with ``error`` [B]; ``hold_out``: to calibrate."""
        target = error.clamp(min=1e-6).log()[:, None]
        if hold_out:
            self.held_out.append((features, target))
        else:
            self.statistics.add(features, target)

    def solve(self, margin: float) -> tuple[Tensor, Tensor]:
        """Weight [1, n] and bias [1] of the probe.

        Raises Bench3RError when no scene was fitted.
        """
        weight, bias = self.statistics.solve(PROBE_RIDGE)
        misses = []
        for features, target in self.held_out:
            predicted = features.to(weight) @ weight.mT + bias
            misses.append(target - predicted.to(target))
        return weight, bias + float(torch.cat(misses).flatten().quantile(1 - margin))
