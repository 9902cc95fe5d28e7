"""Softmax attention with its normaliser, so that attention over parts of the keys adds up."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 1 << 26  # scores held at once by the plain path
FLASH_FROM = (8, 0)  # compute capability


def attention_with_lse(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attention of ``q`` [N, h, Lq, d] to ``k``, ``v`` [N, h, Lk, d], and its normaliser.

    That is the log sum exp [N, h, Lq] of its scores. By the fused kernels, which return both; while
    autograd records, and in precisions that they lack, plain products in chunks of queries.
    """
    low = q.dtype in (torch.float16, torch.bfloat16)
    if not torch.is_grad_enabled():
        if q.device.type == "cpu" and q.dtype in (torch.float32, torch.bfloat16):
            out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
            return out, lse
        if q.device.type == "cuda" and (low or q.dtype == torch.float32):
            return _fused_on_gpu(q, k, v)
    rows = max(1, CHUNK // max(1, q.shape[0] * q.shape[1] * k.shape[2]))
    parts = [_plain(part, k, v) for part in q.split(rows, 2)]
    return torch.cat([o for o, _ in parts], 2), torch.cat([s for _, s in parts], 2)


def _fused_on_gpu(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """FlashAttention where it serves, else the memory-efficient kernel; shapes as above."""
    if flash_serves(q):
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)
        return out, lse
    found = torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, None, True)
    out, lse, *_ = found  # the normaliser's rows are padded
    return out, lse[..., : q.shape[2]]


def flash_serves(q: Tensor) -> bool:
    """Whether a GPU's FlashAttention takes queries ``q`` [..., d]."""
    low = q.dtype in (torch.float16, torch.bfloat16)
    fits = q.shape[-1] % 8 == 0 and q.shape[-1] <= 256
    return low and fits and torch.cuda.get_device_capability(q.device) >= FLASH_FROM


def _plain(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    scores = (q @ k.mT).float() * q.shape[-1] ** -0.5
    lse = scores.logsumexp(-1)
    return ((scores - lse[..., None]).exp().to(v.dtype) @ v), lse


def combine(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Attention over two disjoint sets of keys from that over each.

    Each is attention [N, h, Lq, d] and the log sum exp [N, h, Lq] of its scores.
    """
    a, la = first
    b, lb = second
    share = (la - lb).sigmoid()[..., None].to(a.dtype)
    return a * share + b * (1 - share), torch.logaddexp(la, lb)
