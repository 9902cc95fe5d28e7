"""Attention on the pretended device, as its fused kernels take memory: nothing quadratic."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.helpers.gpu_free.tensors import CUDA, StandIn, inner, tree_map

FLASH = "_scaled_dot_product_flash_attention"
EFFICIENT = "_scaled_dot_product_efficient_attention"
FUSED = (FLASH, EFFICIENT)
VARIED_FLASH = "_flash_attention_forward"  # told where sequences begin
VARIED_EFFICIENT = "_efficient_attention_forward"
VARIED = (VARIED_FLASH, VARIED_EFFICIENT)


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


def varied(mode: Any, name: str, q: Tensor, k: Tensor, v: Tensor, *more: Any) -> tuple[Any, ...]:
    """The kernels for packed sequences of several lengths, each of which attends to its own keys.

    FlashAttention takes [M, heads, d]; the other one [1, M, heads, d], and its arguments begin
    with the bias.
    """
    _one_dtype(q, k, v)
    flash = name == VARIED_FLASH
    if flash and q.dtype not in (torch.float16, torch.bfloat16):
        raise RuntimeError(f"FlashAttention only supports fp16 and bf16 data type, not {q.dtype}")
    q_bounds, k_bounds, q_most, k_most = more[:4] if flash else more[1:5]
    if q.shape[-1] * q.element_size() % 16:
        raise RuntimeError(f"heads of {q.shape[-1]} values of {q.dtype} are not aligned")
    mode.varied[name] += 1
    if mode.values:
        rows = [inner(x).float().reshape(-1, *x.shape[-2:]) for x in (q, k, v)]
        queries = _lengths(q_bounds, q_most, len(rows[0]))
        keys = _lengths(k_bounds, k_most, len(rows[1]))
        parts = zip(rows[0].split(queries), rows[1].split(keys), rows[2].split(keys), strict=True)
        out = torch.cat([_one(*part) for part in parts]).to(q.dtype).view(*q.shape[:-1], -1)
    else:
        out = torch.empty(*q.shape[:-1], v.shape[-1], dtype=q.dtype, device="meta")
    mode._track(out)
    none = StandIn(torch.empty(0, device=out.device), CUDA)  # of use to gradients
    rest = (none, none, none) + ((none,) if flash else (q_most, k_most))
    return (StandIn(out, CUDA), *rest)


def _lengths(bounds: Tensor, most: int, rows: int) -> list[int]:
    """The lengths of the segments that ``bounds`` [n + 1] of ``rows`` tokens tell a kernel."""
    if bounds.dtype != torch.int32:
        raise RuntimeError(f"bounds of sequences must be int32, not {bounds.dtype}")
    at = inner(bounds)
    found: list[int] = at.diff().tolist()
    if at[0] != 0 or at[-1] != rows or max(found) > most:
        raise RuntimeError(f"{at.tolist()} are no bounds of {rows} tokens, at most {most} each")
    return found


def _one(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One segment: [L, heads, d]."""
    rows = [x.transpose(0, 1) for x in (q, k, v)]
    return torch.nn.functional.scaled_dot_product_attention(*rows).transpose(0, 1)


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
