"""Transformer layers shared by every backbone, with the *attention seam* (DESIGN: second seam).

Every attention module owns a ``core`` (:class:`Core`): by default dense softmax attention without parameters, so the
official checkpoint names are untouched. A method replaces it and overrides one of two methods: ``forward``, when it
changes how given queries meet keys; ``attend``, when it needs the tokens themselves or makes its own queries and keys.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROLES = ("encoder", "frame", "global", "head")


@dataclass(frozen=True)
class TokenLayout:
    """What the rows of a token sequence are, so that an attention core can find views, patches and special tokens.

    A sequence of the frame role is one view, ``[batch * views, special + height * width, C]``; one of the global role
    is a whole scene, ``[batch, views * (special + height * width), C]``. ``active`` is set when a schedule computes
    a subset of the tokens: the int64 indices ``[rows, length]`` of the kept tokens in the full sequence (padding: -1).
    """

    batch: int
    views: int
    special: int
    height: int
    width: int
    active: Tensor | None = None

    @property
    def tokens_per_view(self) -> int:
        """Special tokens plus patches of one view."""
        return self.special + self.height * self.width

    def subset(self, active: Tensor) -> TokenLayout:
        """The same layout, told that only the tokens at ``active`` [rows, length] are present."""
        return replace(self, active=active)


class Core(nn.Module, ABC):
    """How queries meet keys in an attention module. Its parameters live under ``core.`` of that module."""

    content_dependent: ClassVar[bool] = (
        False  # whether its cost depends on what it is given, not only on shapes
    )

    @abstractmethod
    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        """Attend ``q`` [N, heads, Lq, d] to ``k``, ``v`` [N, heads, Lk, d]; returns [N, heads, Lq, d]."""

    def attend(
        self, attention: Attention, x: Tensor, rope: Tensor | None, layout: TokenLayout | None
    ) -> Tensor:
        """Attended values [N, L, C] of tokens ``x`` [N, L, C], before the output projection of ``attention``."""
        q, k, v = attention.project(x, rope)
        out = self(q, k.to(q.dtype), v.to(q.dtype), layout)  # [N, heads, L, d]
        return out.transpose(1, 2).flatten(2)


class SoftmaxCore(Core):
    """Dense softmax attention by the fused kernel."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v)


class Mlp(nn.Module):
    """Two linear layers with an exact (erf) GELU between them."""

    def __init__(self, dim: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim if out is None else out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """Learned gain per channel."""

    def __init__(self, dim: int, init: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), init))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


def apply_rope(x: Tensor, rope: Tensor) -> Tensor:
    """Rotate ``x`` [..., L, heads, d] by the tables ``rope`` [2, ..., L, 1, d] (cosine, signed sine).

    The head dimension holds a y half and an x half; inside each, channel i is paired with i + d/4.
    """
    shape = x.shape
    halves = x.unflatten(-1, (2, 2, shape[-1] // 4))  # y|x, first|second, d/4
    swapped = halves.flip(-2).reshape(shape)
    return torch.addcmul(x * rope[0], swapped, rope[1])


class Attention(nn.Module):
    """Multi-head self-attention with a fused qkv projection, optional query/key LayerNorm and 2-D rotary position."""

    def __init__(self, dim: int, heads: int, qk_norm: bool = False, role: str = "frame") -> None:
        super().__init__()
        self.heads, self.role = heads, role
        self.qkv = nn.Linear(dim, 3 * dim)
        head_dim = dim // heads
        self.q_norm = nn.LayerNorm(head_dim) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(head_dim) if qk_norm else nn.Identity()
        self.core: Core = SoftmaxCore()
        self.proj = nn.Linear(dim, dim)

    def query_key_value(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [..., heads, d] of tokens ``x`` [..., C], normalised but not rotated."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        return self.q_norm(q), self.k_norm(k), v

    def query(self, x: Tensor) -> Tensor:
        """The queries of :meth:`query_key_value` alone, at a third of its cost."""
        c = x.shape[-1]
        return self.q_norm(
            F.linear(x, self.qkv.weight[:c], self.qkv.bias[:c]).unflatten(-1, (self.heads, -1))
        )

    def project(self, x: Tensor, rope: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [N, heads, L, d] of tokens ``x`` [N, L, C], normalised and rotated."""
        q, k, v = self.query_key_value(x)  # each [N, L, heads, d]
        if rope is not None:
            rope = rope.to(q.dtype)
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def forward(
        self, x: Tensor, rope: Tensor | None = None, layout: TokenLayout | None = None
    ) -> Tensor:
        attend = (
            self.core.attend if isinstance(self.core, Core) else partial(Core.attend, self.core)
        )  # any module will do
        return self.proj(attend(self, x, rope, layout))


def add_scaled(x: Tensor, change: Tensor, scale: LayerScale | None) -> Tensor:
    """The residual stream plus a branch's ``change``, times its gain per channel where there is one."""
    return x + change if scale is None else torch.addcmul(x, change, scale.gamma)


class TransformerBlock(nn.Module):
    """Base of all transformer blocks: what training may compute again to save memory."""


class Block(TransformerBlock):
    """Pre-norm transformer block: attention and MLP, each scaled per channel and added to the residual stream.

    ``init_values`` None: no scale per channel.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        mlp_ratio: float = 4.0,
        qk_norm: bool = False,
        init_values: float | None = 0.01,
        eps: float = 1e-5,
        role: str = "frame",
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, heads, qk_norm, role)
        self.ls1 = LayerScale(dim, init_values) if init_values is not None else None
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.ls2 = LayerScale(dim, init_values) if init_values is not None else None

    def forward(
        self, x: Tensor, rope: Tensor | None = None, layout: TokenLayout | None = None
    ) -> Tensor:
        """Tokens [N, L, C] -> [N, L, C]; ``rope`` as in :func:`apply_rope`."""
        x = add_scaled(x, self.attn(self.norm1(x), rope, layout), self.ls1)
        return self.feed_forward(x)

    def feed_forward(self, x: Tensor) -> Tensor:
        """The second half of the block, on tokens of any shape [..., C]."""
        return add_scaled(x, self.mlp(self.norm2(x)), self.ls2)


def rope_rows(positions: Tensor, head_dim: int, base: float = 100.0) -> Tensor:
    """Rotary tables [2, P, 1, head_dim] (cosine and signed sine) for ``positions`` [P, 2] (row, column).

    At (0, 0) the rotation is the identity. Raises ValueError for a head dimension that is no multiple of 4.
    """
    if head_dim % 4:
        raise ValueError(
            f"2-D rotary position needs a head dimension divisible by 4, got {head_dim}"
        )
    quarter = head_dim // 4
    frequency = base ** (
        -torch.arange(quarter, dtype=torch.float32) / quarter
    )  # 100^(-2i/D), D = head_dim / 2
    angle = positions.float()[:, :, None, None] * frequency  # [P, 2, 1, quarter]
    sine = torch.cat(
        [-angle.sin(), angle.sin()], 2
    )  # first half takes -second, second half takes +first
    return torch.stack([angle.cos().expand_as(sine), sine]).flatten(2).unsqueeze(2)


def rope_table(height: int, width: int, special: int, head_dim: int, base: float = 100.0) -> Tensor:
    """Rotary tables [2, special + height * width, 1, head_dim] of one view: cosine and signed sine.

    Patch (r, c) sits at position (r + 1, c + 1), special tokens at (0, 0).
    """
    rows = torch.arange(height).repeat_interleave(width) + 1
    columns = torch.arange(width).repeat(height) + 1
    patches = torch.stack([rows, columns], 1)
    return rope_rows(torch.cat([patches.new_zeros(special, 2), patches]), head_dim, base)


class TableCache:
    """Small cache of constant tables (rotary, position grids) keyed by shape and device; never part of a state dict."""

    def __init__(self, limit: int = 32) -> None:
        self.limit = limit
        self.tables: dict[Any, Tensor] = {}

    def get(self, key: Any, device: torch.device, make: Any) -> Tensor:
        """The table for ``key`` on ``device``; ``make()`` computes it on the first request."""
        full_key = (key, str(device))
        if full_key not in self.tables:
            if len(self.tables) >= self.limit:
                self.tables.pop(next(iter(self.tables)))
            with torch.device("cpu"), torch.inference_mode(False):
                table = make()
            self.tables[full_key] = table.to(device)
        return self.tables[full_key]

    def __deepcopy__(self, memo: dict[int, Any]) -> TableCache:
        return TableCache(self.limit)

    def __getstate__(self) -> dict[str, Any]:
        return {"limit": self.limit, "tables": {}}


def whole_sequence(layout: TokenLayout | None, length: int, method: str) -> TokenLayout:
    """``layout`` when it describes a sequence of ``length`` tokens of the global role.

    Raises ValueError when a schedule has left tokens out, or without a layout: ``method`` needs whole views.
    """
    if (
        layout is None
        or layout.active is not None
        or layout.views * layout.tokens_per_view != length
    ):
        raise ValueError(
            f"{method} needs all tokens of all views in global attention: it cannot run under a schedule that "
            "leaves tokens out"
        )
    return layout


def cost_depends_on_content(model: nn.Module) -> bool:
    """Whether any attention of ``model`` decides by content how much it computes."""
    return any(isinstance(m, Core) and m.content_dependent for m in model.modules())


def attention_modules(model: nn.Module, role: str) -> Iterator[tuple[str, Attention]]:
    """All attention modules of ``role`` in ``model`` with their names, in execution order.

    Raises ValueError for an unknown role, or when the model has no attention of that role.
    """
    if role not in ROLES:
        raise ValueError(f"unknown attention role {role!r}: expected one of {', '.join(ROLES)}")
    found = [
        (n, m) for n, m in model.named_modules() if isinstance(m, Attention) and m.role == role
    ]
    if not found:
        raise ValueError(f"{type(model).__name__} has no attention of role {role!r}")
    return iter(found)
