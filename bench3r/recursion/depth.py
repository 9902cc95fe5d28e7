"""Recursion depths of patches: the 1-Lipschitz map above a choice, neighbours, histograms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.api.presentation import Fact, Facts

# what :func:`statistics` and a router say of every scene,
# the facts of every method with recursion depths
DEPTH_FACTS = (
    Fact("depth_histogram", "patches that took 0, 1, 2, ... recursions"),
    Fact("mean_depth", "mean recursion depth of the patches", "recursions"),
    Fact(
        "violations", "neighbouring patches whose recursion depths differ by more than 1", "share"
    ),
    Fact("collapsed", "whether every patch has the same recursion depth"),
)


def neighbour_max(depth: Tensor) -> Tensor:
    """Largest value in the 3 x 3 neighbourhood of every patch of integer maps [..., h, w]."""
    flat = depth.reshape(-1, 1, *depth.shape[-2:]).float()
    return F.max_pool2d(flat, 3, 1, 1).to(depth.dtype).reshape(depth.shape)


def lipschitz(depth: Tensor) -> Tensor:
    """The smallest map >= ``depth`` [..., h, w] whose neighbours differ by at most one.

    Integers >= 0; diagonal neighbours count. It equals max over q of depth(q) - chessboard
    distance(p, q); one pass per step of depth reaches it.
    """
    for _ in range(max(0, int(depth.max()) - 1)):
        depth = torch.maximum(depth, neighbour_max(depth) - 1)
    return depth


def neighbour_differences(depth: Tensor) -> list[Tensor]:
    """Absolute differences of maps [..., h, w] between neighbours in four directions.

    Right, below and the two diagonals.
    """
    return [
        (depth[..., :, 1:] - depth[..., :, :-1]).abs(),
        (depth[..., 1:, :] - depth[..., :-1, :]).abs(),
        (depth[..., 1:, 1:] - depth[..., :-1, :-1]).abs(),
        (depth[..., 1:, :-1] - depth[..., :-1, 1:]).abs(),
    ]


def violations(depth: Tensor) -> float:
    """Share of neighbouring pairs of patches [..., h, w] that differ by more than one."""
    pairs = torch.cat([d.flatten() for d in neighbour_differences(depth)])
    return float((pairs > 1).float().mean()) if len(pairs) else 0.0


def region_adjacency(regions: Tensor, count: int) -> Tensor:
    """Which of ``count`` regions of a label map [h, w] touch: symmetric bool [count, count].

    Diagonals count.
    """
    touch = torch.eye(count, dtype=torch.bool, device=regions.device)
    neighbours = (
        (regions[:, 1:], regions[:, :-1]),
        (regions[1:], regions[:-1]),
        (regions[1:, 1:], regions[:-1, :-1]),
        (regions[1:, :-1], regions[:-1, 1:]),
    )
    for a, b in neighbours:
        touch[a.flatten(), b.flatten()] = True
        touch[b.flatten(), a.flatten()] = True
    return touch


def lipschitz_regions(depth: Tensor, adjacency: Tensor) -> Tensor:
    """As :func:`lipschitz` for ``depth`` [R] of regions with symmetric ``adjacency`` [R, R]."""
    for _ in range(max(0, int(depth.max()) - 1)):
        reach = torch.where(adjacency, depth[None, :], torch.zeros_like(depth)[None, :]).amax(1)
        depth = torch.maximum(depth, reach - 1)
    return depth


def histogram(depth: Tensor, deepest: int) -> list[int]:
    """How many patches of a map [...] took 0, 1, ..., ``deepest`` recursions."""
    return torch.bincount(depth.flatten().long(), minlength=deepest + 1).tolist()


def statistics(depth: Tensor, deepest: int) -> Facts:
    """What a record says about recursion depths [B, S, h, w].

    Histogram, mean, violations, whether routing collapsed.
    """
    counts = histogram(depth, deepest)
    total = max(1, sum(counts))
    return {
        "depth_histogram": counts,
        "mean_depth": sum(i * c for i, c in enumerate(counts)) / total,
        "max_depth": deepest,
        "violations": violations(depth),
        "collapsed": bool(max(counts) == total and deepest > 1),
    }
