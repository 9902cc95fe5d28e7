"""Merging similar tokens before attention and giving each its output afterwards.

After "Token Merging: Your ViT But Faster" (Bolya et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MATCH_CHUNK = 5000  # source tokens compared with all destinations at once


def best_match(
    sources: Tensor,
    destinations: Tensor,
    chunk: int = MATCH_CHUNK,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Cosine similarity to and index of the best destination of every source.

    ``sources`` [G, n, C], ``destinations`` [G, m, C], compared group by group in ``dtype``,
    ``chunk`` sources at a time. Returns both [G, n].
    """
    target = F.normalize(destinations, dim=-1).to(dtype).mT
    values = []
    indices = []
    for part in sources.split(chunk, 1):
        best = (F.normalize(part, dim=-1).to(dtype) @ target).max(-1)
        values.append(best.values)
        indices.append(best.indices)
    return torch.cat(values, 1), torch.cat(indices, 1)


@dataclass
class MergePlan:
    """Which tokens of a sequence of ``length`` are merged into which.

    ``members`` [M] are indices of tokens in the merged sequence's rows ``rows`` [M] (a protected
    destination is in two rows, alone in one); ``read`` [length] is the row from which each token
    takes its output.
    """

    length: int
    merged_length: int
    members: Tensor
    rows: Tensor
    read: Tensor

    def merge(self, x: Tensor) -> Tensor:
        """Means of ``x`` [..., length, C] over the members of each row: [..., merged_length, C]."""
        if self.merged_length == self.length and len(self.members) == self.length:
            return x.index_select(-2, self.members[self.rows.argsort()])
        total = x.new_zeros(*x.shape[:-2], self.merged_length, x.shape[-1])
        total = total.index_add(-2, self.rows, x.index_select(-2, self.members))
        return total / self.sizes(x)[:, None]

    def sizes(self, like: Tensor) -> Tensor:
        """Members of each row [merged_length], in the precision of ``like``."""
        return torch.bincount(self.rows, minlength=self.merged_length).to(like.dtype)

    def unmerge(self, y: Tensor) -> Tensor:
        """Every token's output [..., length, C] from the rows ``y`` [..., merged_length, C]."""
        return y.index_select(-2, self.read)


def bipartite_plan(
    metric: Tensor,
    destination: Tensor,
    count: int,
    protected: Tensor,
    dtype: torch.dtype = torch.bfloat16,
) -> MergePlan:
    """The ``count`` unprotected sources most similar to a destination are merged into it.

    "FastVGGT: Training-Free Acceleration of Visual Geometry Transformer" (Shen et al. 2025).

    ``metric`` [N, C] decides; ``destination`` [N] bool; ``protected`` ascending indices. A
    protected source stays as it is; a protected destination receives merges and stands a second
    time, unmerged, at the end, where it reads its output.
    """
    n = len(metric)
    kept_alone = torch.zeros(n, dtype=torch.bool, device=metric.device)
    kept_alone[protected] = True
    source = (~destination & ~kept_alone).nonzero().squeeze(1)
    targets = destination.nonzero().squeeze(1)
    found = best_match(metric[None, source], metric[None, targets], dtype=dtype)
    score, match = (x[0] for x in found)
    order = score.argsort(descending=True, stable=True)
    merged = order[:count]
    kept = order[count:].sort().values
    base = len(kept)
    end = base + len(targets)
    length = end + len(protected)
    every = torch.arange(length, device=metric.device)
    rows = [every[:base], every[base:end], base + match[merged], every[end:]]
    members = [source[kept], targets, source[merged], protected]
    read = torch.empty(n, dtype=torch.long, device=metric.device)
    for index, row in zip(members, rows, strict=True):
        read[index] = row
    return MergePlan(n, length, torch.cat(members), torch.cat(rows), read)


def strided_plan(metric: Tensor, groups: list[Tensor], alone: Tensor, factor: int) -> MergePlan:
    """Inside each group every ``factor``-th token takes the others that are most like it.

    ``metric`` [N, C]; ``groups`` disjoint lists of token indices in order; ``alone`` the tokens
    that stay as they are. The merged length is exactly len(alone) + the sum of ceil(len(group) /
    factor).
    """
    device = metric.device
    members = [alone]
    rows = [torch.arange(len(alone), device=device)]
    start = len(alone)
    for batch in _equal_lengths(groups):
        index = torch.stack(batch)  # [G, n]
        place = torch.arange(index.shape[1], device=device) % factor == 0
        targets = index[:, place]
        sources = index[:, ~place]
        width = targets.shape[1]
        first = start + width * torch.arange(len(batch), device=device)[:, None]
        members.append(targets.flatten())
        rows.append((first + torch.arange(width, device=device)).flatten())
        if sources.shape[1]:
            _, match = best_match(metric[sources], metric[targets])
            members.append(sources.flatten())
            rows.append((first + match).flatten())
        start += width * len(batch)
    read = torch.empty(len(metric), dtype=torch.long, device=device)
    read[torch.cat(members)] = torch.cat(rows)
    return MergePlan(len(metric), start, torch.cat(members), torch.cat(rows), read)


def _equal_lengths(groups: list[Tensor]) -> list[list[Tensor]]:
    """Groups of equal length together."""
    found: dict[int, list[Tensor]] = {}
    for group in groups:
        if len(group):
            found.setdefault(len(group), []).append(group)
    return list(found.values())
