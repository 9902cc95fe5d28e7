"""Fast reciprocal matching of dense local features (MASt3R: Leroy et al. 2024, §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench3r.models.pair.network import PairOutput

Metric = Literal["dot", "l2"]
BLOCK = 8192  # features compared at a time
ROUNDS = 10


def nearest(queries: Tensor, database: Tensor, metric: Metric = "dot") -> Tensor:
    """Index [N] of the entry of ``database`` [M, D] nearest to each of ``queries`` [N, D]; brute force, float32."""
    found = []
    for part in queries.float().split(BLOCK):
        best = part.new_full((len(part),), -torch.inf)
        where = torch.zeros(len(part), dtype=torch.long, device=part.device)
        for start in range(0, len(database), BLOCK):
            block = database[start : start + BLOCK].float()
            score = part @ block.T if metric == "dot" else -torch.cdist(part, block)
            value, index = score.max(1)
            better = value > best
            best, where = (
                torch.where(better, value, best),
                torch.where(better, index + start, where),
            )
        found.append(where)
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.long, device=queries.device)


def seeds(height: int, width: int, step: int) -> Tensor:
    """Flat indices of a grid of pixels: the middle of every ``step`` x ``step`` cell of an image."""
    rows, columns = (torch.arange(step // 2, n, step) for n in (height, width))
    return (rows[:, None] * width + columns).flatten()


def reciprocal_matches(
    desc1: Tensor,
    desc2: Tensor,
    step: int = 8,
    metric: Metric = "dot",
    tolerance: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Pixels (x, y) [N, 2] of image 1 and of image 2 whose features are each other's nearest.

    Seeds on a grid of image 1 walk to their nearest neighbour and back until they stand still, at most ten times; those
    that do not are dropped. Matches come once each, ordered by pixel of image 1.

    Args:
        desc1, desc2: features [H, W, D], [H2, W2, D] of unit length.
        step: distance between seeds in pixels.
        tolerance: in pixels; when given, one round only, and seeds that return to within it are kept where they started.
    """
    (h1, w1), w2 = desc1.shape[:2], desc2.shape[1]
    a, b = desc1.flatten(0, 1), desc2.flatten(0, 1)
    one = seeds(h1, w1, step).to(a.device)
    if tolerance is not None:
        two = nearest(a[one], b, metric)
        back = nearest(b[two], a, metric)
        distance = (_pixels(back, w1) - _pixels(one, w1)).float().norm(dim=1)
        return _unique(one[distance <= tolerance], two[distance <= tolerance], w1, w2)
    two = torch.full_like(one, -1)
    moving = torch.ones_like(one, dtype=torch.bool)
    for _ in range(ROUNDS):
        there = nearest(a[one[moving]], b, metric)
        settled = there == two[moving]
        back = nearest(b[there], a, metric)
        settled |= back == one[moving]
        where = moving.nonzero().squeeze(1)
        two[where], one[where] = there, back
        moving[where[settled]] = False
        if not moving.any():
            break
    return _unique(one[~moving], two[~moving], w1, w2)


def _pixels(index: Tensor, width: int) -> Tensor:
    return torch.stack([index % width, index.div(width, rounding_mode="floor")], 1)


def _unique(one: Tensor, two: Tensor, width1: int, width2: int) -> tuple[Tensor, Tensor]:
    """Pixels of the distinct pairs of flat indices, ordered by the first."""
    both = torch.stack([one, two], 1).unique(dim=0)
    return _pixels(both[:, 0], width1), _pixels(both[:, 1], width2)


@dataclass
class Matches:
    """Corresponding pixels of two images and how much they are trusted."""

    xy1: Tensor  # [N, 2] (x, y) int64
    xy2: Tensor  # [N, 2]
    confidence: Tensor  # [N]


def pair_matches(forward: PairOutput, backward: PairOutput, step: int = 8) -> Matches:
    """Matches of images 1 and 2 from the passes (1, 2) and (2, 1): seeds in either image, features of either pass.

    The confidence of a match is the geometric mean of its two features' confidences; a match that several searches
    find keeps its highest.
    """
    found = []
    for one, two, swapped in (
        (forward.desc1, forward.desc2, False),
        (backward.desc2, backward.desc1, False),
        (forward.desc2, forward.desc1, True),
        (backward.desc1, backward.desc2, True),
    ):
        assert one is not None, "matching needs a network with local features"
        assert two is not None
        a, b = reciprocal_matches(one, two, step)
        found.append((b, a) if swapped else (a, b))
    quality = []
    for (a, b), q1, q2 in zip(
        found,
        (forward.desc_conf1, backward.desc_conf2) * 2,
        (forward.desc_conf2, backward.desc_conf1) * 2,
        strict=True,
    ):
        assert q1 is not None
        assert q2 is not None
        quality.append((q1[a[:, 1], a[:, 0]] * q2[b[:, 1], b[:, 0]]).sqrt())
    pixels = torch.cat([torch.cat([a, b], 1) for a, b in found])
    distinct, member = pixels.unique(dim=0, return_inverse=True)
    best = torch.zeros(len(distinct), device=pixels.device).scatter_reduce(
        0, member, torch.cat(quality), "amax"
    )
    return Matches(distinct[:, :2], distinct[:, 2:], best)
