"""AVGGT: early global layers attend inside views, middle ones to a subsample of keys and values.

Dropped keys are represented by their mean, and every token whose own key was dropped still sees
itself, all under one softmax. The last layers stay dense. Published for 24 layers
(early 9, last 4); other depths take the same shares.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench3r.api.cost import AttentionShape, BackboneCost, Cost
from bench3r.api.errors import Bench3RError
from bench3r.api.method import Method, MethodOptions
from bench3r.attention.places import Places
from bench3r.attention.softmax import attention_with_lse, combine
from bench3r.models.catalogue import trunk_pairs
from bench3r.models.chunks import TOKENS
from bench3r.models.layers import Core, TokenLayout, attention_modules, whole_sequence

WINDOWS = {2: (1, 2), 4: (2, 2), 6: (2, 3), 9: (3, 3)}  # published subsampling factors
USUAL_EARLY = 9 / 24  # shares of the layers
EARLY = {"pi3": 10 / 18}  # where it is another one
LAST = 4 / 24


class Options(MethodOptions):
    """Which layers change, and how far keys and values are thinned."""

    factor: Literal[2, 4, 6, 9] = Field(
        9, description="one key and value of so many patches is kept"
    )
    early: int | None = Field(
        None, ge=0, description="global layers that attend inside views; None: the published share"
    )
    last: int | None = Field(
        None, ge=0, description="last global layers that stay dense; None: a sixth"
    )
    mean: bool = Field(True, description="the mean of the dropped keys and values takes part")
    diagonal: bool = Field(True, description="a token whose own key was dropped sees itself")

    def layers(self, backbone: str, pairs: int) -> tuple[int, int]:
        """Early and last layers of a trunk of ``pairs``."""
        early = self.early
        last = self.last
        if early is None:
            early = round(pairs * EARLY.get(backbone, USUAL_EARLY))
        if last is None:
            last = round(pairs * LAST)
        return early, last


class ViewCore(Core):
    """Global attention that stays inside each view."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        layout = whole_sequence(layout, q.shape[2], "avggt")
        queries, keys, values = (by_view(t, layout.views) for t in (q, k, v))
        out = F.scaled_dot_product_attention(queries, keys, values)  # [B * S, heads, T, d]
        return out.unflatten(0, (-1, layout.views)).transpose(1, 2).flatten(2, 3)


def by_view(x: Tensor, views: int) -> Tensor:
    """Tokens of scenes [B, heads, S * T, d] as those of views [B * S, heads, T, d]."""
    return x.unflatten(2, (views, -1)).transpose(1, 2).flatten(0, 1)


def subsample(options: Options, layout: TokenLayout) -> tuple[Tensor, Tensor]:
    """Indices [n] of the tokens whose keys stay, and [m] of those whose keys are dropped."""
    rows, columns = WINDOWS[options.factor]
    patch = torch.zeros(layout.height, layout.width, dtype=torch.bool)
    patch[::rows, ::columns] = True
    view = torch.cat([patch.new_ones(layout.special), patch.flatten()])
    first = view.new_ones(layout.tokens_per_view)
    keep = torch.cat([first, view.repeat(layout.views - 1)])
    return keep.nonzero().squeeze(1), (~keep).nonzero().squeeze(1)


class SubsampledCore(Core):
    """All queries; keys and values of the first view, of special tokens and of one patch per
    window.
    """

    def __init__(self, options: Options, places: Places | None = None) -> None:
        super().__init__()
        self.options = options
        self.places = places or Places(partial(subsample, options))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        layout = whole_sequence(layout, q.shape[2], "avggt")
        stay, gone = self.places(layout, q.device)
        keys = k.index_select(2, stay)
        values = v.index_select(2, stay)
        if not len(gone):
            return F.scaled_dot_product_attention(q, keys, values)
        if self.options.mean:
            lost = [x.index_select(2, gone).mean(2, keepdim=True) for x in (k, v)]
            keys = torch.cat([keys, lost[0]], 2)
            values = torch.cat([values, lost[1]], 2)
        if not self.options.diagonal:
            return F.scaled_dot_product_attention(q, keys, values)
        out, lse = attention_with_lse(q, keys, values)
        some = TOKENS if not torch.is_grad_enabled() else len(gone)
        for index in gone.split(some):
            seen = out.index_select(2, index), lse.index_select(2, index)
            own_k = k.index_select(2, index)
            own = (q.index_select(2, index) * own_k).sum(-1) * q.shape[-1] ** -0.5
            with_own, _ = combine(seen, (v.index_select(2, index), own))
            out = write(out, index, with_own)
        return out


def write(out: Tensor, index: Tensor, rows: Tensor) -> Tensor:
    """``out`` [B, heads, N, d] with ``rows`` [B, heads, n, d] at ``index`` [n]; in place if it may.

    While autograd records it keeps the old ones.
    """
    if torch.is_grad_enabled():
        return out.index_copy(2, index, rows)
    return out.index_copy_(2, index, rows)


class AVGGT(Method):
    """Global attention replaced layer by layer; no training."""

    name = "avggt"
    label = "AVGGT"
    hooks = ("attention",)
    source = "AVGGT: Rethinking Global Attention for Accelerating VGGT, CVPR 2026"
    Options = Options

    def check(self, backbone: str, scale: str) -> None:
        """Raises Bench3RError for more layers than the trunk has."""
        pairs = trunk_pairs(backbone, scale)
        early, last = self.options.layers(backbone, pairs)
        if early + last > pairs:
            raise Bench3RError(
                f"avggt: {early} early and {last} last layers, but {backbone} at scale {scale} "
                f"has {pairs} global layers"
            )

    def cost(self, unchanged: BackboneCost) -> Cost:
        early, last = self.options.layers(unchanged.backbone, unchanged.pairs)
        rows, columns = WINDOWS[self.options.factor]
        patches = math.ceil(unchanged.grid[0] / rows) * math.ceil(unchanged.grid[1] / columns)
        keys = unchanged.tokens + (unchanged.frames - 1) * (unchanged.special + patches)
        if self.options.mean and keys < unchanged.sequence:
            keys += 1

        def core(a: AttentionShape) -> float:
            if a.layer < early:
                return a.dense / unchanged.frames
            if a.layer >= unchanged.pairs - last:
                return a.dense
            return 2.0 * a.length * keys * a.dim

        return Cost(unchanged.with_global(core))

    def apply(self, model: Any) -> None:
        modules = list(attention_modules(model, "global"))
        early, last = self.options.layers(model.name, len(modules))
        places = Places(partial(subsample, self.options))
        for i, (_, attention) in enumerate(modules):
            if i < early:
                attention.core = ViewCore()
            elif i < len(modules) - last:
                attention.core = SubsampledCore(self.options, places)
