"""Fast reciprocal matching of dense local features (Leroy et al. 2024, §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from bench3r.models.pair.network import PairOutput

Metric = Literal["dot", "l2"]
BLOCK = 8192  # features compared at a time
ROUNDS = 10


def nearest(queries: Tensor, database: Tensor, metric: Metric = "dot") -> Tensor:
    """Index [N] of the entry of ``database`` [M, D] nearest to each of ``queries`` [N, D].

    By brute force in float32.
    """
    found = []
    for part in queries.float().split(BLOCK):
        best = part.new_full((len(part),), -torch.inf)
        where = torch.zeros(len(part), dtype=torch.long, device=part.device)
        for start in range(0, len(database), BLOCK):
            block = database[start : start + BLOCK].float()
            score = part @ block.T if metric == "dot" else -torch.cdist(part, block)
            value, index = score.max(1)
            better = value > best
            best = torch.where(better, value, best)
            where = torch.where(better, index + start, where)
        found.append(where)
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.long, device=queries.device)


def seeds(height: int, width: int, step: int) -> Tensor:
    """Flat indices [N] of the middle of every ``step`` x ``step`` cell of an image."""
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

    Seeds on a grid of image 1 walk to their nearest neighbour and back until they stand still, at
    most ten times; those that do not are dropped. Matches come once each, ordered by pixel of image
    1.

    Args:
        desc1, desc2: features [H, W, D], [H2, W2, D] of unit length.
        step: distance between seeds in pixels.
        tolerance: in pixels; when given, one round only, and seeds that return to within it are
            kept where they started.
    """
    height, width = desc1.shape[:2]
    a = desc1.flatten(0, 1)
    b = desc2.flatten(0, 1)
    one = seeds(height, width, step).to(a.device)
    if tolerance is None:
        one, two = _walk(one, a, b, metric)
    else:
        two = nearest(a[one], b, metric)
        back = nearest(b[two], a, metric)
        distance = (_pixels(back, width) - _pixels(one, width)).float().norm(dim=1)
        near = distance <= tolerance
        one, two = one[near], two[near]
    return _unique(one, two, width, desc2.shape[1])


def _walk(one: Tensor, a: Tensor, b: Tensor, metric: Metric) -> tuple[Tensor, Tensor]:
    """Where seeds ``one`` [N] of features ``a`` [M, D] stand still, and whom they meet in ``b``."""
    two = torch.full_like(one, -1)
    moving = torch.ones_like(one, dtype=torch.bool)
    for _ in range(ROUNDS):
        there = nearest(a[one[moving]], b, metric)
        back = nearest(b[there], a, metric)
        still = (there == two[moving]) | (back == one[moving])
        where = moving.nonzero().squeeze(1)
        two[where] = there
        one[where] = back
        moving[where[still]] = False
        if not moving.any():
            break
    return one[~moving], two[~moving]


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


class _Features(NamedTuple):
    """Local features of an image."""

    descriptors: Tensor  # [H, W, D]
    confidence: Tensor  # [H, W]

    def at(self, xy: Tensor) -> Tensor:
        """Confidence [N] at pixels [N, 2]."""
        return self.confidence[xy[:, 1], xy[:, 0]]


def _features(output: PairOutput) -> tuple[_Features, ...]:
    """Local features of the first and of the second image of a pass."""
    found = []
    for descriptors, confidence in (
        (output.desc1, output.desc_conf1),
        (output.desc2, output.desc_conf2),
    ):
        assert descriptors is not None, "matching needs a network with local features"
        assert confidence is not None
        found.append(_Features(descriptors, confidence))
    return tuple(found)


def pair_matches(forward: PairOutput, backward: PairOutput, step: int = 8) -> Matches:
    """Matches of images 1 and 2 from the passes (1, 2) and (2, 1).

    With seeds in either image and features of either pass. The confidence of a match is the
    geometric mean of its two features' confidences; a match that several searches find keeps its
    highest.
    """
    passes = (_features(forward), _features(backward)[::-1])  # of image 1, of image 2
    pixels = []
    quality = []
    for one, two in passes:
        a, b = reciprocal_matches(one.descriptors, two.descriptors, step)
        pixels.append(torch.cat([a, b], 1))
        quality.append((one.at(a) * two.at(b)).sqrt())
    for one, two in passes:
        b, a = reciprocal_matches(two.descriptors, one.descriptors, step)
        pixels.append(torch.cat([a, b], 1))
        quality.append((one.at(a) * two.at(b)).sqrt())
    distinct, member = torch.cat(pixels).unique(dim=0, return_inverse=True)
    none = torch.zeros(len(distinct), device=distinct.device)
    best = none.scatter_reduce(0, member, torch.cat(quality), "amax")
    return Matches(distinct[:, :2], distinct[:, 2:], best)
