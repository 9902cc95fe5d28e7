"""Closed-form linear recovery of trunk outputs that were not computed, from one that was.

Ridge regression with separate maps for special and patch tokens (after "Does the VGGT family need
all its layers?", 2026): the features of a missing pair are an affine function of those of the last
pair before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from bench3r.api.errors import Bench3RError

RIDGE = 1e-6  # relative to the mean variance of the input


class AffineStatistics:
    """Running sums for an affine least-squares map from x [n, a] to y [n, b], in float64."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.xx = torch.zeros(inputs + 1, inputs + 1, dtype=torch.float64)
        self.xy = torch.zeros(inputs + 1, outputs, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Take in rows ``x`` [n, a] and ``y`` [n, b]; sums are made where they lie."""
        self.xx = self.xx.to(x.device)
        self.xy = self.xy.to(x.device)
        x = torch.cat([x.double(), x.new_ones(len(x), 1, dtype=torch.float64)], 1)
        self.xx += x.mT @ x
        self.xy += x.mT @ y.double()

    def solve(self, strength: float = RIDGE) -> tuple[Tensor, Tensor]:
        """Weight [b, a] and bias [b], with a ridge of ``strength`` times the input's mean power.

        Raises Bench3RError when nothing was added.
        """
        count = float(self.xx[-1, -1])
        if count == 0:
            raise Bench3RError("a linear recovery cannot be fitted without training scenes")
        power = strength * self.xx.diagonal()[:-1].mean()
        ridge = power * torch.ones_like(self.xx[0])
        ridge[-1] = 0  # the offset is not shrunk
        solution = torch.linalg.solve(self.xx + torch.diag(ridge), self.xy)
        return solution[:-1].mT.float(), solution[-1].float()


class Recovery(nn.Module):
    """The map from one pair's output to another's: [..., T, 2C] -> [..., T, 2C]."""

    def __init__(self, width: int, special: int) -> None:
        super().__init__()
        self.special = special
        self.special_map = nn.Linear(2 * width, 2 * width)
        self.patch_map = nn.Linear(2 * width, 2 * width)
        for layer in (self.special_map, self.patch_map):  # unfitted: repeat what is there
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        special = self.special_map(x[..., : self.special, :])
        patches = self.patch_map(x[..., self.special :, :])
        return torch.cat([special, patches], -2)


def fit_recoveries(
    model: Any, batches: Iterable[Tensor], wanted: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], dict[str, Tensor]]:
    """State dicts of the recoveries from pair a to pair b for all ``wanted`` (a, b).

    ``model`` is the unchanged backbone, ``batches`` are images [B, S, 3, H, W]. Raises Bench3RError
    without any.
    """
    wanted = list(wanted)
    statistics: dict[tuple[int, int, bool], AffineStatistics] = {}
    for images in batches:
        with torch.no_grad():
            out, layout = model.run_trunk(images, keep_all=True)
        for a, b in wanted:
            for special in (True, False):
                rows = slice(0, layout.special) if special else slice(layout.special, None)
                x, y = (out.taps[i][:, :, rows].flatten(0, 2) for i in (a, b))
                key = (a, b, special)
                statistics.setdefault(key, AffineStatistics(x.shape[1], y.shape[1])).add(x, y)
    learned = {}
    for a, b in wanted:
        state: dict[str, Tensor] = {}
        for special, name in ((True, "special_map"), (False, "patch_map")):
            if (a, b, special) not in statistics:
                raise Bench3RError("a linear recovery cannot be fitted without training scenes")
            state[f"{name}.weight"], state[f"{name}.bias"] = statistics[a, b, special].solve()
        learned[a, b] = state
    return learned
