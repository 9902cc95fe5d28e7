"""Block-sparse global attention ("Faster VGGT"): patches attend to likely blocks of keys.

Which are likely is what attention between pooled blocks says. Special tokens attend densely. The
default is the released behaviour: the blocks kept reach at most the wanted mass, and special keys
follow the patch keys without alignment, so that the first of them share a block that may be
dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench3r.api.cost import AttentionShape, BackboneCost, Cost
from bench3r.api.method import Method, MethodOptions
from bench3r.attention.places import Places
from bench3r.attention.sparse import (
    Attend,
    Pooling,
    attend_in_parts,
    block_sparse_attention,
    pool_blocks,
    some_rows,
)
from bench3r.models.layers import Core, TokenLayout, attention_modules, whole_sequence


class Options(MethodOptions):
    """How many key blocks a query block keeps."""

    cdf: float | None = Field(
        0.97,
        ge=0,
        le=1,
        description="pooled attention mass that the kept blocks reach; None: unused",
    )
    sparse_ratio: float | None = Field(
        0.1, ge=0, le=1, description="at least this share less 1 is kept; None: unused"
    )
    q_block: int = Field(128, ge=1)
    k_block: int = Field(64, ge=1)
    pooling: Pooling = Field("mean", description="what stands for a block in the estimate")
    order: Literal["rows", "hilbert"] = Field(
        "rows", description="order of the patches of a view in the blocks"
    )
    special_keys: Literal["released", "always"] = Field(
        "released", description="whether every special key is always kept"
    )


def hilbert_order(height: int, width: int) -> Tensor:
    """Patches [height * width] of a view along a Hilbert curve generalised to any rectangle.

    After Cerveny's gilbert. The curve runs along the longer side; every step goes to a neighbour
    wherever the sides allow it.
    """
    along = np.array([width, 0])
    across = np.array([0, height])
    if height > width:
        along, across = across, along
    return torch.tensor([y * width + x for x, y in _curve(np.zeros(2, int), along, across)])


def _curve(start: np.ndarray, along: np.ndarray, across: np.ndarray) -> Iterator[np.ndarray]:
    """Cells (x, y) of a rectangle, from end to end of ``along``.

    Two axis-parallel vectors span it from ``start``.
    """
    length = int(np.abs(along).sum())
    breadth = int(np.abs(across).sum())
    forward = np.sign(along)
    sideways = np.sign(across)
    if breadth == 1:
        for i in range(length):
            yield start + i * forward
    elif length == 1:
        for i in range(breadth):
            yield start + i * sideways
    elif 2 * length > 3 * breadth:  # long: two halves end to end
        half = _half(along, forward)
        yield from _curve(start, half, across)
        yield from _curve(start + half, along - half, across)
    else:  # up, along, down
        half = along // 2
        rise = _half(across, sideways)
        yield from _curve(start, rise, half)
        yield from _curve(start + rise, along, across - rise)
        yield from _curve(start + (along - forward) + (rise - sideways), -rise, -(along - half))


def _half(vector: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Half of ``vector``, made even when the whole is longer than two."""
    half = vector // 2
    if np.abs(half).sum() % 2 and np.abs(vector).sum() > 2:
        half = half + step
    return half


class Selection(NamedTuple):
    """Key blocks that query blocks attend to."""

    probability: Tensor  # [B, h, Bq, Bk] attention between pooled blocks
    kept: Tensor  # [B, h, Bq] how many key blocks are kept
    keep: Tensor  # bool [B, h, Bq, Bk] which


def select_blocks(q: Tensor, k: Tensor, options: Options) -> Selection:
    """The key blocks that each query block keeps, for ``q``, ``k`` [B, h, P, d] of the patches."""
    queries = pool_blocks(q, options.q_block, pooling=options.pooling)
    keys = pool_blocks(k, options.k_block, pooling=options.pooling)
    probability = (queries @ keys.mT * q.shape[-1] ** -0.5).softmax(-1)
    keep = some_rows(partial(_likeliest, options), probability)
    return Selection(probability, keep.sum(-1), keep)


def _likeliest(options: Options, probability: Tensor) -> Tensor:
    """Which key blocks are kept, bool [R, Bk], of some rows ``probability`` [R, Bk]."""
    falling, order = probability.sort(-1, descending=True)
    blocks = int(probability.shape[-1])
    count = torch.zeros_like(order[..., 0])
    if options.cdf is not None:
        count = (falling.cumsum(-1) <= options.cdf + 1e-5).sum(-1)
    if options.sparse_ratio is not None:
        count = count.clamp(min=int(blocks * (1 - options.sparse_ratio)))
    count = count.clamp(min=1)
    best = torch.arange(blocks, device=order.device) < count[..., None]  # by rank
    return torch.zeros_like(best).scatter_(-1, order, best)


def split_tokens(options: Options, layout: TokenLayout) -> tuple[Tensor, Tensor]:
    """Indices of special tokens [S * special] and of patches [P] in the order of the blocks."""
    count = layout.views * layout.tokens_per_view
    index = torch.arange(count).view(layout.views, -1)
    special = index[:, : layout.special]
    patches = index[:, layout.special :]
    if options.order == "hilbert":
        patches = patches[:, hilbert_order(layout.height, layout.width)]
    return special.flatten(), patches.flatten()


class BlockSparseCore(Core):
    """Dense attention for special tokens, block-sparse for patches."""

    content_dependent = True

    def __init__(self, options: Options, places: Places | None = None) -> None:
        super().__init__()
        self.options = options
        self.places = places or Places(partial(split_tokens, options))

    def block_map(self, keep: Tensor, patches: int, special: int) -> Tensor:
        """The map over patch and special keys [B, h, Bq, Bk'] from ``keep`` [B, h, Bq, Bk].

        ``keep`` is the map over ``patches`` patch keys; ``special`` keys follow them.
        """
        blocks = math.ceil((patches + special) / self.options.k_block)
        whole = F.pad(keep, (0, blocks - keep.shape[-1]), value=True)
        if self.options.special_keys == "always":
            whole[..., patches // self.options.k_block :] = True
        return whole

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        layout = whole_sequence(layout, q.shape[2], "block_sparse")
        special, patches = self.places(layout, q.device)
        attend = partial(self.all_tokens, special, patches)
        return self.in_parts(attend, q, k, v, split_queries=False)

    def in_parts(
        self, attend: Attend, q: Tensor, k: Tensor, v: Tensor, split_queries: bool
    ) -> Tensor:
        """``attend`` in parts with few enough pairs of blocks, on ``q``, ``k``, ``v``
        [B, h, N, d].
        """
        options = self.options
        return attend_in_parts(attend, q, k, v, options.q_block, options.k_block, split_queries)

    def all_tokens(
        self, special: Tensor, patches: Tensor, q: Tensor, k: Tensor, v: Tensor
    ) -> Tensor:
        """Outputs [B, h, N, d] of ``special`` [S] tokens and ``patches`` [P], of ``q``, ``k``,
        ``v`` [B, h, N, d].
        """
        out = torch.empty_like(q)
        out[:, :, special] = F.scaled_dot_product_attention(q[:, :, special], k, v)
        out[:, :, patches] = self.patch_attention(q, k, v, special, patches)
        return out

    def patch_attention(
        self, q: Tensor, k: Tensor, v: Tensor, special: Tensor, patches: Tensor
    ) -> Tensor:
        """Outputs [B, h, P, d] of the queries at ``patches`` [P], from ``q``, ``k``, ``v``
        [B, h, N, d].
        """
        order = torch.cat([patches, special])
        attend = partial(self.ordered_attention, len(patches))
        return self.in_parts(attend, q[:, :, patches], k[:, :, order], v[:, :, order], True)

    def ordered_attention(self, patches: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Outputs [B, h, L, d] of some patch queries ``q`` [B, h, L, d], from ``k``, ``v``
        [B, h, N, d], those of all ``patches`` first.
        """
        keep = select_blocks(q, k[:, :, :patches], self.options).keep
        whole = self.block_map(keep, patches, int(k.shape[2]) - patches)
        return block_sparse_attention(q, k, v, whole, self.options.q_block, self.options.k_block)


class BlockSparse(Method):
    """Block-sparse global attention; no training."""

    name = "block_sparse"
    label = "block-sparse VGGT"
    hooks = ("attention",)
    source = "Wang et al., Faster VGGT with Block-Sparse Global Attention, CVPR 2026"
    Options = Options

    def cost(self, unchanged: BackboneCost) -> Cost:
        options = self.options
        special = unchanged.frames * unchanged.special
        patches = unchanged.sequence - special
        queries = math.ceil(patches / options.q_block)
        keys = math.ceil(patches / options.k_block)
        least = keys
        if options.sparse_ratio is not None:
            least = max(1, int(keys * (1 - options.sparse_ratio)))
        # blocks of special keys are always allowed
        seen = min(least * options.k_block + special, unchanged.sequence)

        def core(a: AttentionShape) -> float:
            of_special = 2.0 * special * a.length * a.dim
            pooled = queries * keys * a.dim
            return of_special + pooled + 2.0 * queries * options.q_block * seen * a.dim

        kept = f"{least} of {keys} key blocks kept, the fewest that sparse_ratio allows"
        return Cost(unchanged.with_global(core), kept)

    def apply(self, model: Any) -> None:
        places = Places(partial(split_tokens, self.options))
        for _, attention in attention_modules(model, "global"):
            attention.core = BlockSparseCore(self.options, places)
