"""Softmax attention of packed sequences of different lengths, each to its own keys alone.

On a GPU one call of a fused kernel, which is told where the sequences begin; elsewhere, and for
cores that are more than softmax attention, one call per length. Nothing is padded, so nothing is
computed that no sequence asks for.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.attention.softmax import flash_serves
from bench3r.attention.sparse import Attend
from bench3r.models.layers import Core, SoftmaxCore, TokenLayout

BYTES = 16  # of a head, which the kernels read at a time


@dataclass(frozen=True)
class Segments:
    """Where the sequences of a packed list lie: one after the other."""

    lengths: tuple[int, ...]
    device: torch.device

    @property
    def equal(self) -> bool:
        """Whether all are of one length."""
        return len(set(self.lengths)) == 1

    @cached_property
    def bounds(self) -> Tensor:
        """Where each begins, and where the last one ends: [n + 1] int32."""
        ends = torch.tensor((0, *self.lengths), dtype=torch.int32).cumsum(0, dtype=torch.int32)
        return ends.to(self.device)


def attend_segments(
    core: Core,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    queries: Segments,
    keys: Segments,
    *,
    layout: TokenLayout,
) -> Tensor:
    """Attention [M, heads, d] of each segment of ``q`` [M, heads, d] to that of ``k`` and ``v``.

    These are [Mk, heads, d]; ``queries`` and ``keys`` are as many segments.
    """
    if queries.equal and keys.equal:
        count = len(queries.lengths)
        rows = [x.unflatten(0, (count, -1)).transpose(1, 2) for x in (q, k, v)]
        return core(*rows, layout).transpose(1, 2).flatten(0, 1)
    if type(core) is SoftmaxCore:
        return _softmax(q, k, v, queries, keys)

    def attend(*rows: Tensor) -> Tensor:
        return core(*rows, layout)

    return _by_length(attend, (q, k, v), queries.lengths, keys.lengths)


def _softmax(q: Tensor, k: Tensor, v: Tensor, queries: Segments, keys: Segments) -> Tensor:
    """As :func:`attend_segments`."""
    bounds = (queries.bounds, keys.bounds)
    longest = (max(queries.lengths), max(keys.lengths))
    if not torch.is_grad_enabled():
        pairs = sum(map(operator.mul, queries.lengths, keys.lengths))
        return SEGMENT_ATTENTION(q, k, v, *bounds, *longest, pairs)
    if _has_kernel(q):  # which knows its own gradient
        return varied_lengths(q, k, v, *bounds, *longest)
    attend = F.scaled_dot_product_attention
    return _by_length(attend, (q, k, v), queries.lengths, keys.lengths)


def _by_length(
    attend: Attend,
    packed: tuple[Tensor, Tensor, Tensor],
    queries: tuple[int, ...],
    keys: tuple[int, ...],
) -> Tensor:
    """Attention [M, heads, d] of the segments, with one call of ``attend`` for all of a length.

    ``packed``: queries [M, heads, d], keys and values [Mk, heads, d] with the segments' lengths.
    """
    alike: dict[tuple[int, int], list[int]] = {}
    for place, lengths in enumerate(zip(queries, keys, strict=True)):
        alike.setdefault(lengths, []).append(place)
    q, k, v = packed
    parts = (q.split(queries), k.split(keys), v.split(keys))
    found: dict[int, Tensor] = {}
    for places in alike.values():
        rows = [torch.stack([part[i] for i in places]).transpose(1, 2) for part in parts]
        attended = attend(*rows).transpose(1, 2)  # [n, length, heads, d]
        found |= zip(places, attended, strict=True)
    return torch.cat([found[place] for place in range(len(queries))])


def _has_kernel(q: Tensor) -> bool:
    """Whether a GPU's kernels take heads of ``q`` [M, heads, d]."""
    return q.device.type == "cuda" and q.shape[-1] * q.element_size() % BYTES == 0


def varied_lengths(
    q: Tensor, k: Tensor, v: Tensor, q_bounds: Tensor, k_bounds: Tensor, q_most: int, k_most: int
) -> Tensor:
    """FlashAttention of the segments on a GPU where it serves, else the memory-efficient kernel.

    ``q`` [M, heads, d], ``k``, ``v`` [Mk, heads, d]; ``q_bounds``, ``k_bounds`` [n + 1] as of
    :class:`Segments`, whose longest ones have ``q_most`` and ``k_most`` tokens.
    """
    if flash_serves(q):
        flash = torch.ops.aten._flash_attention_forward
        return flash(q, k, v, q_bounds, k_bounds, q_most, k_most, 0.0, False, False)[0]
    efficient = torch.ops.aten._efficient_attention_forward
    rows = [x[None] for x in (q, k, v)]
    lengths = (q_bounds, k_bounds, q_most, k_most)
    keep = torch.is_grad_enabled()  # what the gradient needs
    return efficient(*rows, None, *lengths, 0.0, 0, keep)[0][0]


def segment_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_bounds: Tensor,
    k_bounds: Tensor,
    q_most: int,
    k_most: int,
    pairs: int,
) -> Tensor:
    """As :func:`varied_lengths`, on any device and without gradients.

    One operator, whose cost counters see: ``pairs``, of query and key that are computed, is for
    them alone.
    """
    if _has_kernel(q):
        return varied_lengths(q, k, v, q_bounds, k_bounds, q_most, k_most).contiguous()
    lengths = [tuple(bounds.diff().tolist()) for bounds in (q_bounds, k_bounds)]
    return _by_length(F.scaled_dot_product_attention, (q, k, v), *lengths)


def _shape(q: Tensor, k: Tensor, v: Tensor, *where: Tensor | int) -> Tensor:
    """What :func:`segment_attention` gives, on shapes alone."""
    return q.new_empty((*q.shape[:-1], v.shape[-1]))


# by hand: torch.library.custom_op loads the compiler, 70 MB, when it is called for the first time
OPERATORS = torch.library.Library("bench3r", "FRAGMENT")
OPERATORS.define(
    "segment_attention(Tensor q, Tensor k, Tensor v, Tensor q_bounds, Tensor k_bounds, "
    "int q_most, int k_most, int pairs) -> Tensor"
)
OPERATORS.impl("segment_attention", segment_attention, "CompositeExplicitAutograd")
OPERATORS.impl("segment_attention", _shape, "Meta")
SEGMENT_ATTENTION = torch.ops.bench3r.segment_attention
