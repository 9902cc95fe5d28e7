"""Transformer blocks on a subset of the tokens: gather, compute, scatter.

Tokens that stopped are not computed.

Tokens of all scenes and views lie in one flat list [N, C], N = B * S * T. A :class:`Subset` picks
some of them; views may keep different numbers, so linear layers run on the packed list, and
attention inside each view (or scene) knows where it begins (:mod:`bench3r.attention.segments`).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bench3r.attention.segments import Segments, attend_segments
from bench3r.models.layers import Attention, Block, TokenLayout, apply_rope, in_one_precision


@dataclass(frozen=True)
class Subset:
    """Some of the tokens of a batch, by ascending position in the flat list."""

    index: Tensor  # [M] int64
    layout: TokenLayout  # of all tokens

    @cached_property
    def whole(self) -> bool:
        """Whether every token is in it."""
        views = self.layout.batch * self.layout.views
        return len(self.index) == views * self.layout.tokens_per_view

    def of(self, full: Tensor, dim: int = 0) -> Tensor:
        """Its entries of ``full`` [..., N, ...], whose dimension ``dim`` runs over all N tokens."""
        return full if self.whole else full.index_select(dim, self.index)

    def segments(self, role: str) -> Segments:
        """Its tokens of each view (role "frame") or scene ("global")."""
        return self._of_views if role == "frame" else self._of_scenes

    @cached_property
    def _of_views(self) -> Segments:
        views = self.layout.batch * self.layout.views
        tokens = self.layout.tokens_per_view
        if self.whole:
            return Segments((tokens,) * views, self.index.device)
        counts = torch.bincount(self.index // tokens, minlength=views)
        return Segments(tuple(counts.tolist()), self.index.device)

    @cached_property
    def _of_scenes(self) -> Segments:
        s = self.layout.views
        views = self._of_views.lengths
        scenes = (sum(views[i : i + s]) for i in range(0, len(views), s))
        return Segments(tuple(scenes), self.index.device)

    @cached_property
    def patches(self) -> Tensor:
        """Which of its tokens are patches [M]; the others are special tokens."""
        return self.index % self.layout.tokens_per_view >= self.layout.special

    @cached_property
    def patch_index(self) -> Tensor:
        """Positions of its patches in the flat list of patches [B * S * h * w]."""
        where = self.index[self.patches]
        tokens = self.layout.tokens_per_view
        special = self.layout.special
        return where // tokens * (tokens - special) + where % tokens - special


def everything(layout: TokenLayout, device: torch.device) -> Subset:
    """All tokens."""
    tokens = layout.batch * layout.views * layout.tokens_per_view
    return Subset(torch.arange(tokens, device=device), layout)


def deeper_than(depth: Tensor, recursion: int, layout: TokenLayout) -> Subset:
    """Special tokens, and patches whose ``depth`` [B, S, h, w] exceeds ``recursion``."""
    b = layout.batch
    s = layout.views
    keep = torch.ones(b, s, layout.tokens_per_view, dtype=torch.bool, device=depth.device)
    keep[:, :, layout.special :] = depth.reshape(b, s, -1) > recursion
    return Subset(keep.flatten().nonzero().squeeze(1), layout)


def flat_rope(rope: Tensor | None, layout: TokenLayout) -> Tensor | None:
    """The table of one view [2, T, 1, d] for the flat token list [2, N, 1, d]."""
    return None if rope is None else rope.repeat(1, layout.batch * layout.views, 1, 1)


class PackedAttention:
    """Attention of the packed active tokens of one block, as the block's forward calls it.

    A call changes nothing but the first one's cache: with activation checkpointing the block runs
    again in the backward pass, and must then see the cache as it was.
    """

    def __init__(self, rope: Tensor | None, active: Subset, keep: KeyValues | None) -> None:
        self.rope = rope  # [2, N, 1, d] of all tokens
        self.active = active
        self.keep = keep
        self.stored = None if keep is None else keep.stored
        self.called = False

    def __call__(self, attention: Attention, inner: Tensor) -> Tensor:
        """The change [M, C] of the normalised tokens ``inner`` [M, C] of ``active``."""
        active = self.active
        q, k, v, present = self._query_key_value(attention, inner)
        if self.rope is not None:
            q = apply_rope(q, active.of(self.rope, 1).to(q.dtype))
            k = apply_rope(k, present.of(self.rope, 1).to(q.dtype))
        layout = active.layout if active.whole else active.layout.subset(active.index)
        out = attend_segments(
            attention.core,
            *in_one_precision(q, k, v),
            active.segments(attention.role),
            present.segments(attention.role),
            layout=layout,
        )
        change: Tensor = attention.proj(out.flatten(1))
        return change

    def _query_key_value(
        self, attention: Attention, inner: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Subset]:
        """Queries of the active tokens, keys and values to attend to, and whose these are."""
        if self.keep is None:
            return (*attention.query_key_value(inner), self.active)
        keep = copy(self.keep)
        keep.stored = self.stored
        if keep.wants_new:
            q, k, v = attention.query_key_value(inner)
            offered = keep.offer(k, v, self.active)
        else:
            q = attention.query(inner)
            offered = keep.offer(None, None, self.active)
        if not self.called:
            self.keep.stored = keep.stored
            self.called = True
        return (q, *offered)


def run_block(
    block: Block, x: Tensor, rope: Tensor | None, active: Subset, keep: KeyValues | None = None
) -> Tensor:
    """``block`` on the packed active tokens ``x`` [M, C]: [M, C].

    ``rope`` [2, N, 1, d] is the table of all tokens. Without ``keep`` active tokens attend to
    active tokens of their view or scene; with it, to what the cache offers.
    """
    out: Tensor = block(x, packed=PackedAttention(rope, active, keep))
    return out


class KeyValues:
    """What the keys and values of a block are while its recursions go by.

    One object per block and forward pass.

    The base keeps nothing: a recursion attends to the tokens that are active in it
    ("recursion-wise" caching, Bae et al. 2025). Subclasses hold ``stored``, the keys and values [N,
    2, heads, d] of all tokens, before rotation.
    """

    wants_new = True  # whether the next recursion has to compute keys and values
    stored: Tensor | None = None  # all that it remembers

    def offer(
        self, k: Tensor | None, v: Tensor | None, active: Subset
    ) -> tuple[Tensor, Tensor, Subset]:
        """Take the new keys and values [M, heads, d] of the ``active`` tokens.

        Returns those to attend to, and whose they are.
        """
        assert k is not None
        assert v is not None
        return k, v, active


class StoredKeyValues(KeyValues):
    """Base of caches that offer keys and values of all tokens, active or not."""

    def update(self, stored: Tensor, new: Tensor, active: Subset) -> Tensor:
        """The next cache from the last one [N, 2, heads, d] and new entries [M, 2, heads, d].

        ``new`` are those of the ``active`` tokens.
        """
        return stored.index_copy(0, active.index, new)

    def view(self, stored: Tensor, active: Subset) -> Tensor:
        """What is attended to [N, 2, heads, d]: the ``stored`` entries unless overridden."""
        return stored

    def offer(
        self, k: Tensor | None, v: Tensor | None, active: Subset
    ) -> tuple[Tensor, Tensor, Subset]:
        if k is not None and v is not None:
            # norms give keys in float32 under autocast, attention takes them in that of the values
            new = torch.stack([k.to(v.dtype), v], 1)
            if self.stored is None and not active.whole:
                raise ValueError("this cache needs every token in the first recursion")
            if self.stored is None:
                self.stored = new
            else:
                self.stored = self.update(self.stored, new.to(self.stored.dtype), active)
        assert self.stored is not None
        keys, values = self.view(self.stored, active).unbind(1)
        return keys, values, everything(active.layout, active.index.device)


class LatestKeyValues(StoredKeyValues):
    """Every token's keys and values as of its own last recursion."""


class FirstKeyValues(StoredKeyValues):
    """Keys and values of the first recursion, shared by all later ones ("recursive sharing")."""

    @property
    def wants_new(self) -> bool:  # type: ignore[override]
        return self.stored is None


def scatter(full: Tensor, active: Subset, values: Tensor) -> Tensor:
    """``full`` [N, C] with the rows of ``active`` replaced by ``values`` [M, C]."""
    return values if active.whole else full.index_copy(0, active.index, values.to(full.dtype))


def as_grid(patches: Tensor, layout: TokenLayout) -> Tensor:
    """The patches among rows of the flat list [N, ...] as maps [B * S, C, h, w]."""
    views = layout.batch * layout.views
    rows = patches.unflatten(0, (views, layout.tokens_per_view))[:, layout.special :].flatten(2)
    return rows.transpose(1, 2).unflatten(2, (layout.height, layout.width))
