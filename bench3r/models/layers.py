"""Transformer layers shared by every backbone, with the *attention hook*.

Every attention module owns a ``core`` (:class:`Core`): by default dense softmax attention without
parameters, so the official checkpoint names are untouched. A method replaces it and overrides one
of two methods: ``forward``, when it changes how given queries meet keys; ``attend``, when it needs
the tokens themselves or makes its own queries and keys.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench3r.models.chunks import (
    autocast_dtype,
    chunk_rows,
    join_chunks,
    many_tokens,
    tokens_in_chunks,
)

ROLES = ("encoder", "frame", "global", "head")


@dataclass(frozen=True)
class TokenLayout:
    """What the rows of a token sequence are: views, patches and special tokens.

    Attention cores find them by it. A sequence of the frame role is one view,
    ``[batch * views, special + height * width, C]``; one of the global role is a whole scene,
    ``[batch, views * (special + height * width), C]``. ``active`` is set when a schedule computes a
    subset of the tokens: the int64 indices ``[rows, length]`` of the kept tokens in the full
    sequence (padding: -1).
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
    """How queries meet keys in an attention module.

    Its parameters live under ``core.`` of that module.
    """

    # whether its cost depends on what it is given, not only on shapes
    content_dependent: ClassVar[bool] = False

    @abstractmethod
    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        """Attend ``q`` [N, heads, Lq, d] to ``k``, ``v`` [N, heads, Lk, d].

        Returns [N, heads, Lq, d].
        """

    def attend(
        self, attention: Attention, x: Tensor, rope: Tensor | None, layout: TokenLayout | None
    ) -> Tensor:
        """Attended values [N, L, C] of tokens ``x`` [N, L, C].

        That is before the output projection of ``attention``; ``rope`` as in :func:`apply_rope`.
        """
        q, k, v = attention.project(x, rope)
        out = self(q, k, v, layout)  # [N, heads, L, d]
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
    """Rotate ``x`` [..., L, heads, d] by the tables ``rope`` [2, ..., L, 1, d].

    The tables are cosine and signed sine. The head dimension holds a y half and an x half; inside
    each, channel i is paired with i + d/4.
    """
    shape = x.shape
    halves = x.unflatten(-1, (2, 2, shape[-1] // 4))  # y|x, first|second, d/4
    swapped = halves.flip(-2).reshape(shape)
    return torch.addcmul(x * rope[0], swapped, rope[1])


class Attention(nn.Module):
    """Multi-head self-attention with a fused qkv projection.

    Optional: LayerNorm of queries and keys, 2-D rotary position.
    """

    def __init__(self, dim: int, heads: int, qk_norm: bool = False, role: str = "frame") -> None:
        super().__init__()
        self.heads = heads
        self.role = role
        self.qkv = nn.Linear(dim, 3 * dim)
        head_dim = dim // heads
        self.q_norm = nn.LayerNorm(head_dim) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(head_dim) if qk_norm else nn.Identity()
        self.core: Core = SoftmaxCore()
        self.proj = nn.Linear(dim, dim)

    def query_key_value(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, values [..., heads, d] of tokens ``x`` [..., C].

        Queries and keys are normalised but not rotated.
        """
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        return self.q_norm(q), self.k_norm(k), v

    def query(self, x: Tensor) -> Tensor:
        """The queries [..., heads, d] of tokens ``x`` [..., C] alone.

        At a third of the cost of :meth:`query_key_value`.
        """
        c = x.shape[-1]
        q = F.linear(x, self.qkv.weight[:c], self.qkv.bias[:c])
        return self.q_norm(q.unflatten(-1, (self.heads, -1)))

    def project(self, x: Tensor, rope: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, values [N, heads, L, d] of tokens ``x`` [N, L, C].

        Queries and keys are normalised, and rotated by ``rope`` as in :func:`apply_rope`. All are
        in the precision in which they are multiplied (:func:`in_one_precision`).
        """
        if x.shape[0] * x.shape[1] > chunk_rows():
            q, k, v = projected_in_chunks(self, x, rope)
        else:
            q, k, v = self.rotated(x, rope)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def rotated(self, x: Tensor, rope: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`project`, but each [N, L, heads, d]."""
        q, k, v = self.query_key_value(x)
        if rope is not None:
            rope = rope.to(q.dtype)
            q = apply_rope(q, rope)
            k = apply_rope(k, rope)
        return in_one_precision(q, k, v)

    def forward(
        self, x: Tensor, rope: Tensor | None = None, layout: TokenLayout | None = None
    ) -> Tensor:
        own = isinstance(self.core, Core)  # any other module attends as the base class does
        attend = self.core.attend if own else partial(Core.attend, self.core)
        return self.proj(attend(self, x, rope, layout))


def in_one_precision(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values [...] in the precision in which they are multiplied.

    Autocast normalises in float32 and casts for torch's own attention alone: without this the
    kernels of methods would run in float32 against a baseline in bfloat16.
    """
    dtype = autocast_dtype(v)
    return q.to(dtype), k.to(dtype), v.to(dtype)


def projected_in_chunks(
    attention: Attention, x: Tensor, rope: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """As :meth:`Attention.rotated`, some tokens at a time.

    All three are views [N, L, heads, d] of one tensor, beside which nothing of its size is made.
    """
    length = int(x.shape[1])
    rows = max(1, chunk_rows() // int(x.shape[0]))

    def some(start: int) -> tuple[Tensor]:
        part = slice(start, start + rows)
        position = None if rope is None else rope[..., part, :, :]
        q, k, v = attention.rotated(x[:, part], position)
        return (torch.stack([q, k, v]).movedim(2, 0),)  # [n, 3, N, heads, d]

    q, k, v = join_chunks(some, length, rows)[0].unbind(1)  # each [L, N, heads, d]
    return q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)


# How packed tokens attend: the block's attention and its normalised tokens [M, C] -> change [M, C].
PackedAttention = Callable[[Attention, Tensor], Tensor]


def add_scaled(x: Tensor, change: Tensor, scale: LayerScale | None) -> Tensor:
    """``x`` plus ``change``, both [..., C], times the gain per channel where there is one."""
    return x + change if scale is None else torch.addcmul(x, change, scale.gamma)


class TransformerBlock(nn.Module):
    """Base of all transformer blocks: what training may compute again to save memory."""


class Block(TransformerBlock):
    """Pre-norm transformer block: attention and MLP.

    Each is scaled per channel and added to the residual stream; ``init_values`` None: no scale.
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
        self,
        x: Tensor,
        rope: Tensor | None = None,
        layout: TokenLayout | None = None,
        packed: PackedAttention | None = None,
    ) -> Tensor:
        """Tokens [N, L, C] -> [N, L, C]; ``rope`` as in :func:`apply_rope`.

        With ``packed`` tokens are [M, C], and it says how they attend. Whatever runs a block calls
        it this way: sharded weights are gathered and activations recomputed per call.
        """
        inner = self.normed(x)
        change = self.attn(inner, rope, layout) if packed is None else packed(self.attn, inner)
        return self.feed_forward(add_scaled(x, change, self.ls1))

    def normed(self, x: Tensor) -> Tensor:
        """Normalised tokens [..., C] for attention; many in the precision of its products."""
        if not many_tokens(x):
            return self.norm1(x)
        dtype = autocast_dtype(x)
        return tokens_in_chunks(lambda part: self.norm1(part).to(dtype), x)

    def feed_forward(self, x: Tensor) -> Tensor:
        """The second half of the block, on tokens of any shape [..., C]."""
        return tokens_in_chunks(self._feed_forward, x)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return add_scaled(x, self.mlp(self.norm2(x)), self.ls2)


def rope_rows(positions: Tensor, head_dim: int, base: float = 100.0) -> Tensor:
    """Rotary tables [2, P, 1, head_dim] for ``positions`` [P, 2] (row, column).

    Cosine and signed sine; at (0, 0) the rotation is the identity. Raises ValueError for a head
    dimension that is no multiple of 4.
    """
    if head_dim % 4:
        need = "2-D rotary position needs a head dimension divisible by 4"
        raise ValueError(f"{need}, got {head_dim}")
    quarter = head_dim // 4
    # 100^(-2i/D), D = head_dim / 2
    frequency = base ** (-torch.arange(quarter, dtype=torch.float32) / quarter)
    angle = positions.float()[:, :, None, None] * frequency  # [P, 2, 1, quarter]
    # the first half takes -second, the second half takes +first
    sine = torch.cat([-angle.sin(), angle.sin()], 2)
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
    """Small cache of constant tables (rotary, position grids) keyed by shape and device.

    Never part of a state dict.
    """

    def __init__(self, limit: int = 32) -> None:
        self.limit = limit
        self.tables: dict[Hashable, Tensor] = {}

    def get(self, key: Hashable, device: torch.device, make: Callable[[], Tensor]) -> Tensor:
        """The table [...] for ``key`` on ``device``.

        ``make()`` computes it on the first request.
        """
        full_key = (key, str(device))
        if full_key not in self.tables:
            if len(self.tables) >= self.limit:
                self.tables.pop(next(iter(self.tables)))
            with torch.device("cpu"), torch.inference_mode(False):
                table = make()
            self.tables[full_key] = table.to(device)
        return self.tables[full_key]

    def __deepcopy__(self, memo: dict[int, object]) -> TableCache:
        return TableCache(self.limit)

    def __getstate__(self) -> dict[str, object]:
        return {"limit": self.limit, "tables": {}}


def whole_sequence(layout: TokenLayout | None, length: int, method: str) -> TokenLayout:
    """``layout`` when it describes a sequence of ``length`` tokens of the global role.

    Raises ValueError when a schedule has left tokens out, or without a layout: ``method`` needs
    whole views.
    """
    whole = layout is not None and layout.active is None
    if layout is None or not whole or layout.views * layout.tokens_per_view != length:
        raise ValueError(
            f"{method} needs all tokens of all views in global attention: "
            "it cannot run under a schedule that leaves tokens out"
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
    found = []
    for name, module in model.named_modules():
        if isinstance(module, Attention) and module.role == role:
            found.append((name, module))
    if not found:
        raise ValueError(f"{type(model).__name__} has no attention of role {role!r}")
    return iter(found)
