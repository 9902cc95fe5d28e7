"""Where tokens are: indices that follow from the layout of a scene alone, made once per layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench3r.models.layers import TokenLayout

Indices = tuple[Tensor, ...]  # each [n]
KEPT = 8  # layouts


class Places:
    """Indices of tokens by layout and device: ``make(layout, *choices)`` finds them on the CPU.

    All layers of a model share one, so that none of them asks the device which tokens it means.
    """

    def __init__(self, make: Callable[..., Indices]) -> None:
        self.make = make
        self.known: dict[Any, Indices] = {}

    def __call__(self, layout: TokenLayout, device: torch.device, *choices: int) -> Indices:
        """The indices, each [n], of the tokens of ``layout`` on ``device``."""
        grid = (layout.views, layout.special, layout.height, layout.width)
        key = (*grid, *choices, str(device))
        if key not in self.known:
            if len(self.known) >= KEPT:
                self.known.pop(next(iter(self.known)))
            with torch.device("cpu"), torch.inference_mode(False):
                made = self.make(layout, *choices)
            self.known[key] = tuple(x.to(device) for x in made)
        return self.known[key]

    def __deepcopy__(self, memo: dict[int, object]) -> Places:
        return Places(self.make)

    def __getstate__(self) -> dict[str, object]:
        return {"make": self.make, "known": {}}
