"""FlexAttention on the pretended device: a dense mask with values, a shape without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.helpers.gpu_free.tensors import Active, StandInLimit


@dataclass(frozen=True)
class FlexCall:
    """One call of FlexAttention, for :mod:`flex`."""

    dtype: torch.dtype
    head_dim: int
    queries: int
    keys: int
    blocks: tuple[int, int]
    kernel_options: tuple[tuple[str, Any], ...]
    where: str


def flex_stand_in(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Any = None,
    block_mask: Any = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: dict[str, Any] | None = None,
    **more: Any,
) -> Any:
    """FlexAttention by a dense mask (values) or its shape; the call is noted for :mod:`flex`."""
    mode = Active.mode
    assert mode is not None
    mode.flex[_noted(query, key, block_mask, kernel_options or {})] += 1
    if len({query.dtype, key.dtype, value.dtype}) > 1:
        raise ValueError(
            f"FlexAttention: one dtype expected, got {query.dtype}, {key.dtype}, {value.dtype}"
        )
    lse = query.new_zeros(query.shape[:-1], dtype=torch.float32)
    if not mode.values:
        same = query.shape[-1] == value.shape[-1]
        shape = (*query.shape[:-1], value.shape[-1])
        out = torch.empty_like(query) if same else query.new_empty(shape)
        return (out, lse) if return_lse else out
    if score_mod is not None:
        raise StandInLimit("FlexAttention with a score_mod")
    keep = None if block_mask is None else _dense(block_mask, query, key)
    with torch.autocast("cuda", enabled=False):
        out = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=keep, scale=scale, enable_gqa=enable_gqa
        )
    return (out, lse) if return_lse else out


def _noted(query: Tensor, key: Tensor, block_mask: Any, options: dict[str, Any]) -> FlexCall:
    blocks = tuple(block_mask.BLOCK_SIZE) if block_mask is not None else (128, 128)
    return FlexCall(
        dtype=query.dtype,
        head_dim=query.shape[-1],
        queries=query.shape[2],
        keys=key.shape[2],
        blocks=blocks,
        kernel_options=tuple(sorted(options.items())),
        where=Active.mode.place(),
    )


def _dense(block_mask: Any, query: Tensor, key: Tensor) -> Tensor:
    """The mask of single queries and keys that a mask of blocks stands for."""
    rows, columns = block_mask.BLOCK_SIZE
    dense = block_mask.to_dense().bool()
    dense = dense.repeat_interleave(rows, -2, output_size=dense.shape[-2] * rows)
    dense = dense.repeat_interleave(columns, -1, output_size=dense.shape[-1] * columns)
    keep = dense[..., : query.shape[2], : key.shape[2]]
    if block_mask.mask_mod is None:
        return keep
    grid = []
    for axis, size in enumerate((*query.shape[:2], query.shape[2], key.shape[2])):
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        grid.append(torch.arange(size, device=query.device).view(shape))
    return keep & block_mask.mask_mod(*grid)
