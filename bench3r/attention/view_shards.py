"""The views of a scene over several processes: each computes its own, what they share is summed.

For attention whose only exchange between views is a sum over tokens. Sums and joins carry
gradients: the loss of the processes together is the mean of theirs, as the usual averaging of the
gradients of parameters takes it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Sum(torch.autograd.Function):
    """The sum over processes of a tensor [...] that each has."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        total = x.detach().clone().contiguous()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone().contiguous()
        dist.all_reduce(total, group=ctx.group)
        return total, None


class _Join(torch.autograd.Function):
    """The views [B, S, ...] of all processes from those [B, n, ...] of each."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shards: ViewShards) -> Tensor:
        ctx.shards = shards
        slices = shards.slices()
        most = max(part.stop - part.start for part in slices)
        padded = x.new_zeros(x.shape[0], most, *x.shape[2:])
        padded[:, : x.shape[1]] = x.detach()
        found = [torch.empty_like(padded) for _ in slices]
        dist.all_gather(found, padded, group=shards.group)
        whole = zip(found, slices, strict=True)
        return torch.cat([views[:, : part.stop - part.start] for views, part in whole], 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        shards = ctx.shards
        total = gradients[0].clone().contiguous()
        dist.all_reduce(total, group=shards.group)
        return total[:, shards.own()], None


class ViewShards:
    """Which views of the scene at hand this process has. Make it in all processes at once."""

    def __init__(self) -> None:
        # a group of its own: nothing else comes between its exchanges
        self.group: Any = dist.new_group()
        self.rank = dist.get_rank(self.group)
        self.ranks = dist.get_world_size(self.group)
        self.views = 0  # of the scene

    def start(self, views: int) -> None:
        """Begin a scene of ``views``. Raises ValueError when a process would have none."""
        if views < self.ranks:
            raise ValueError(f"{views} views cannot be shared by {self.ranks} processes")
        self.views = views

    def slices(self) -> list[slice]:
        """The views of every process, in order; their numbers differ by one at most."""
        bounds = [self.views * rank // self.ranks for rank in range(self.ranks + 1)]
        return [slice(start, stop) for start, stop in pairwise(bounds)]

    def own(self) -> slice:
        """The views of this process."""
        return self.slices()[self.rank]

    def sum(self, x: Tensor) -> Tensor:
        """The sum over processes of ``x`` [...]."""
        total: Tensor = _Sum.apply(x, self.group)
        return total

    def join(self, x: Tensor) -> Tensor:
        """All views [B, S, ...] from this process's ``x`` [B, n, ...]."""
        whole: Tensor = _Join.apply(x, self)
        return whole
