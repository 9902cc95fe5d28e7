"""Attention on the pretended device, as its fused kernels take memory: nothing quadratic."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.helpers.gpu_free.tensors import CUDA, StandIn, inner, tree_map

FLASH = "_scaled_dot_product_flash_attention"
EFFICIENT = "_scaled_dot_product_efficient_attention"
FUSED = (FLASH, EFFICIENT)


def sdpa(mode: Any, args: Any, kwargs: Any) -> Any:
    """torch's own attention: by values, or the output and one number a row."""
    q, k, v = args[:3]
    _one_dtype(q, k, v)
    if mode.values:
        held, named = tree_map(inner, (args, kwargs))
        out = torch.nn.functional.scaled_dot_product_attention(*held, **named)
        lse = None
    else:
        if q.shape[-1] > 256:
            mode.notes["attention with heads wider than 256 counted as fused"] += 1
        out, lse = _shapes(q, v)
    if q.device.type == "cuda":
        mode._track(out)
        if lse is not None:
            mode._track(lse)
    return StandIn(out, q.device) if isinstance(q, StandIn) else out


def fused(mode: Any, name: str, q: Tensor, k: Tensor, v: Tensor, *more: Any) -> tuple[Any, ...]:
    """The kernels by name, which give the log sum exp of the scores as well."""
    _one_dtype(q, k, v)
    if name == FLASH and q.dtype not in (torch.float16, torch.bfloat16):
        raise RuntimeError(f"FlashAttention only supports fp16 and bf16 data type, not {q.dtype}")
    if mode.values:
        wide = [inner(x).float() for x in (q, k, v)]
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*wide)
        out = out.to(q.dtype)
    else:
        out, lse = _shapes(q, v)
    if name == EFFICIENT:  # whose rows are padded
        lse = torch.nn.functional.pad(lse, (0, -lse.shape[-1] % 32))
    found = []
    for part in (out, lse):
        mode._track(part)
        found.append(StandIn(part, CUDA))
    none = StandIn(torch.empty(0, device=found[0].inner.device), CUDA)  # of use to gradients
    if name == EFFICIENT:
        return (*found, none, none)
    return (*found, none, none, q.shape[2], k.shape[2], none, none, none)


def _one_dtype(q: Tensor, k: Tensor, v: Tensor) -> None:
    kinds = (q.dtype, k.dtype, v.dtype)
    if len(set(kinds)) > 1:
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, "
            f"but got {kinds[0]}, {kinds[1]} and {kinds[2]}"
        )


def _shapes(q: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    first = q.shape[:-1]
    if q.dim() == 4:
        rows = (first[0], first[2], first[1], v.shape[-1])
        out = torch.empty(rows, dtype=q.dtype, device="meta").transpose(1, 2)
    else:
        out = torch.empty(*first, v.shape[-1], dtype=q.dtype, device="meta")
    return out, torch.empty(first, dtype=torch.float32, device="meta")
