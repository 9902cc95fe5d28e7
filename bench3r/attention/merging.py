"""Merging similar tokens before attention and giving each its output afterwards.

After "Token Merging: Your ViT But Faster" (Bolya et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

MATCH_CHUNK = 5000  # source tokens compared with all destinations at once
LARGE = 1 << 28  # elements that are merged at once
MATCHES = 1 << 29  # similarities held at once


def best_match(
    sources: Tensor,
    destinations: Tensor,
    chunk: int = MATCH_CHUNK,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Cosine similarity to and index of the best destination of every source.

    ``sources`` [G, n, C], ``destinations`` [G, m, C], compared group by group in ``dtype``, also
    under autocast, at most ``chunk`` sources at a time. Returns both [G, n].
    """
    groups, count = destinations.shape[:2]
    chunk = min(chunk, max(1, MATCHES // max(1, int(groups) * int(count))))
    values = []
    indices = []
    with torch.autocast(sources.device.type, enabled=False):
        target = _unit(destinations, dtype).mT
        for part in sources.split(chunk, 1):
            best = (_unit(part, dtype) @ target).max(-1)
            values.append(best.values)
            indices.append(best.indices)
    return torch.cat(values, 1), torch.cat(indices, 1)


def _unit(x: Tensor, dtype: torch.dtype) -> Tensor:
    """``x`` [..., C] of unit length, normalised in float32 at least, in ``dtype``."""
    wide = torch.promote_types(x.dtype, torch.float32)
    return F.normalize(x.to(wide), dim=-1).to(dtype)


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
        if x.numel() > LARGE and x.dim() == 3:  # one head at a time: no second copy of all
            for one, merged in zip(x, total, strict=True):
                merged.index_add_(-2, self.rows, one.index_select(-2, self.members))
        else:
            total = total.index_add(-2, self.rows, x.index_select(-2, self.members))
        return total.div_(self.sizes(x)[:, None])

    def sizes(self, like: Tensor) -> Tensor:
        """Members of each row [merged_length], in the precision of ``like``."""
        return self.counts.to(like.dtype)

    @cached_property
    def counts(self) -> Tensor:
        """Members of each row, int64 [merged_length]."""
        none = self.rows.new_zeros(self.merged_length)
        return none.index_add(0, self.rows, torch.ones_like(self.rows))

    def unmerge(self, y: Tensor) -> Tensor:
        """Every token's output [..., length, C] from the rows ``y`` [..., merged_length, C]."""
        return y.index_select(-2, self.read)


class TokenRoles(NamedTuple):
    """What the tokens of a sequence are when it is merged: ascending indices."""

    sources: Tensor  # [n] may be merged
    targets: Tensor  # [m] destinations
    protected: Tensor  # [p] stand for themselves, whichever they are


def token_roles(destination: Tensor, protected: Tensor) -> TokenRoles:
    """Roles of N tokens: ``destination`` [N] bool, ``protected`` [p] ascending indices.

    A protected source is never merged; a protected destination still receives merges.
    """
    alone = torch.zeros_like(destination).index_fill(0, protected, True)
    sources = (~destination & ~alone).nonzero().squeeze(1)
    return TokenRoles(sources, destination.nonzero().squeeze(1), protected)


def bipartite_plan(
    metric: Tensor, roles: TokenRoles, count: int, dtype: torch.dtype = torch.bfloat16
) -> MergePlan:
    """The ``count`` sources most similar to a destination are merged into it.

    "FastVGGT: Training-Free Acceleration of Visual Geometry Transformer" (Shen et al. 2025).

    ``metric`` [N, C] decides, compared in ``dtype``. Protected tokens stand, unmerged, at the end,
    where they read their output; those that are destinations stand there a second time.
    """
    n = len(metric)
    source, targets, protected = roles
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


class StridedTokens(NamedTuple):
    """Which tokens of groups take which others: indices, the groups of one length together."""

    alone: Tensor  # [a] stay as they are
    groups: tuple[tuple[Tensor, Tensor], ...]  # per length: targets [G, n] and sources [G, m]


def strided_tokens(groups: list[Tensor], alone: Tensor, factor: int) -> StridedTokens:
    """In each group (indices in order) every ``factor``-th token is a target, the others sources.

    ``groups`` are disjoint, ``alone`` [a] the tokens that stay as they are.
    """
    split = []
    for batch in _equal_lengths(groups):
        index = torch.stack(batch)  # [G, n]
        place = torch.arange(index.shape[1], device=index.device) % factor == 0
        split.append((index[:, place], index[:, ~place]))
    return StridedTokens(alone, tuple(split))


def strided_plan(metric: Tensor, tokens: StridedTokens) -> MergePlan:
    """Every target of a group takes the sources of the group that are most like it.

    ``metric`` [N, C] decides, compared in bf16 where it is. The merged length is exactly
    len(alone) + the sum of ceil(len(group) / factor).
    """
    device = metric.device
    dtype = metric.dtype if metric.dtype == torch.bfloat16 else torch.float32
    members = [tokens.alone]
    rows = [torch.arange(len(tokens.alone), device=device)]
    start = len(tokens.alone)
    for targets, sources in tokens.groups:
        count, width = targets.shape
        first = start + width * torch.arange(count, device=device)[:, None]
        members.append(targets.flatten())
        rows.append((first + torch.arange(width, device=device)).flatten())
        if sources.shape[1]:
            _, match = best_match(metric[sources], metric[targets], dtype=dtype)
            members.append(sources.flatten())
            rows.append((first + match).flatten())
        start += width * count
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
