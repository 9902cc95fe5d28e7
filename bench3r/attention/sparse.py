"""Block-sparse softmax attention: only chosen pairs of query and key blocks are computed.

Which pairs is a boolean map [N, heads, query blocks, key blocks]. On the CPU the kept key blocks of every query block are
gathered and attended to in batches of equal length, so nothing that the map leaves out is computed. On a GPU the map
goes to FlexAttention, compiled (a test compiles it for the CPU; its speed on a GPU has not been measured here). That call
is an operator of its own, ``bench3r::flex_attention``, so that FLOP counters see one node with its price.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

GATHERED = 1 << 24  # key elements gathered at once


def pool_blocks(x: Tensor, block: int, zero_padded: bool = False) -> Tensor:
    """Means [N, h, blocks, d] of ``x`` [N, h, L, d] over blocks of ``block`` tokens.

    The last block's mean is over its own tokens, or over ``block`` tokens with zeros for those it lacks.
    """
    length = x.shape[2]
    missing = -length % block
    total = F.pad(x, (0, 0, 0, missing)).unflatten(2, (-1, block)).sum(3)
    counts = torch.full((total.shape[2], 1), float(block), device=x.device, dtype=x.dtype)
    if not zero_padded:
        counts[-1] = block - missing
    return total / counts


def top_blocks(scores: Tensor, count: int) -> Tensor:
    """Map of the ``count`` best key blocks of every query block, from ``scores`` [N, h, Bq, Bk]."""
    chosen = scores.topk(count, dim=-1).indices
    return torch.zeros_like(scores).scatter(-1, chosen, torch.ones_like(scores)) > 0


def block_sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keep: Tensor,
    q_block: int,
    k_block: int,
    zero_padded: bool = False,
) -> Tensor:
    """Softmax attention [N, h, Lq, d] of ``q`` over the tokens of the key blocks that ``keep`` [N, h, Bq, Bk] allows.

    Blocks are ``q_block`` and ``k_block`` consecutive tokens; the last ones may be shorter, or (``zero_padded``) are
    filled up with keys and values of zero that take part. Raises ValueError when a query block keeps nothing or the map
    does not fit the sequences.
    """
    expected = (
        *q.shape[:2],
        math.ceil(int(q.shape[2]) / q_block),
        math.ceil(int(k.shape[2]) / k_block),
    )
    if tuple(keep.shape) != tuple(map(int, expected)):
        raise ValueError(f"the block map is {tuple(keep.shape)}, expected {expected}")
    if zero_padded:
        k, v = (F.pad(x, (0, 0, 0, -x.shape[2] % k_block)) for x in (k, v))
    least, pairs = kept_pairs(keep, int(k.shape[2]), q_block, k_block)
    if not least:
        raise ValueError("a query block keeps no key block: softmax over nothing is undefined")
    if q.device.type == "cuda" and not torch.is_grad_enabled():
        return torch.ops.bench3r.flex_attention(q, k, v, keep, q_block, k_block, pairs)
    return _gathered(q, k, v, keep, q_block, k_block)


def kept_pairs(keep: Tensor, keys: int, q_block: int, k_block: int) -> tuple[int, int]:
    """Fewest key blocks that a query block keeps, and pairs of query (whole blocks of them) and key that are computed."""
    sizes = torch.full((keep.shape[-1],), k_block, device=keep.device)
    sizes[-1] = keys - (keep.shape[-1] - 1) * k_block
    least, pairs = torch.stack(
        [keep.sum(-1).min(), (keep * sizes).sum() * q_block]
    ).tolist()  # one wait for the device
    return int(least), int(pairs)


def _gathered(q: Tensor, k: Tensor, v: Tensor, keep: Tensor, q_block: int, k_block: int) -> Tensor:
    """Query blocks with equally many kept blocks together: gather their keys, one fused attention each."""
    n, h, length, d = map(int, q.shape)
    blocks = (
        F.pad(q, (0, 0, 0, -length % q_block)).unflatten(2, (-1, q_block)).flatten(0, 2)
    )  # [rows, q_block, d]
    keys = (
        F.pad(k, (0, 0, 0, -k.shape[2] % k_block)).unflatten(2, (-1, k_block)).flatten(0, 2)
    )  # [N h Bk, k_block, d]
    values = F.pad(v, (0, 0, 0, -v.shape[2] % k_block)).unflatten(2, (-1, k_block)).flatten(0, 2)
    rows = keep.flatten(0, 2)
    per_sequence = int(keep.shape[3])
    last = int(k.shape[2]) - (per_sequence - 1) * k_block  # real tokens of the last block
    partial = rows[:, -1] if last < k_block else torch.zeros_like(rows[:, -1])
    kind = 2 * rows.sum(1) + partial
    results, order = [], []
    for value in kind.unique().tolist():
        members = (kind == value).nonzero().squeeze(1)
        for part in members.split(max(1, GATHERED // (value // 2 * k_block * d))):
            which = (
                rows[part].nonzero()[:, 1].view(len(part), -1)
            )  # ascending, so the last block comes last
            where = which + (part // keep.shape[2])[:, None] * per_sequence
            ks, vs = (x[where].flatten(1, 2) for x in (keys, values))
            if value % 2:
                ks, vs = ks[:, : last - k_block], vs[:, : last - k_block]
            results.append(
                F.scaled_dot_product_attention(blocks[part][:, None], ks[:, None], vs[:, None])[
                    :, 0
                ]
            )
            order.append(part)
    out = torch.cat(results)[torch.cat(order).argsort()]
    return out.unflatten(0, (n, h, -1)).flatten(2, 3)[:, :, :length]


@cache
def _compiled_flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


@torch.library.custom_op("bench3r::flex_attention", mutates_args=())
def flex_attention(
    q: Tensor, k: Tensor, v: Tensor, keep: Tensor, q_block: int, k_block: int, pairs: int
) -> Tensor:
    """FlexAttention over the kept blocks; the map is data, so nothing is compiled anew for another one.

    ``pairs``, of query and key that are computed, is for FLOP counters alone.
    """
    from torch.nn.attention.flex_attention import BlockMask

    length, keys = q.shape[2], k.shape[2]
    counts = keep.sum(-1, dtype=torch.int32)
    order = keep.int().argsort(dim=-1, descending=True, stable=True).to(torch.int32)

    def in_range(b: Tensor, h: Tensor, qi: Tensor, ki: Tensor) -> Tensor:
        return ki < keys

    mask = BlockMask.from_kv_blocks(counts, order, BLOCK_SIZE=(q_block, k_block), mask_mod=in_range)
    pad_q, pad_k = -length % q_block, -keys % k_block
    q, k, v = F.pad(q, (0, 0, 0, pad_q)), F.pad(k, (0, 0, 0, pad_k)), F.pad(v, (0, 0, 0, pad_k))
    return _compiled_flex()(q, k, v, block_mask=mask)[:, :, :length]


@torch.library.register_fake("bench3r::flex_attention")
def _(
    q: Tensor, k: Tensor, v: Tensor, keep: Tensor, q_block: int, k_block: int, pairs: int
) -> Tensor:
    return q.new_empty((*q.shape[:-1], v.shape[-1]))


def linear_attention(q: Tensor, k: Tensor, v: Tensor, eps: float = 1e-6) -> Tensor:
    """phi(Q) (phi(K)^T V) / (phi(Q) sum phi(K) + eps) for non-negative features ``q``, ``k`` [N, h, L, d]; linear in L."""
    memory = k.mT @ v
    return (q @ memory) / ((q * k.sum(2, keepdim=True)).sum(-1, keepdim=True) + eps)


def elu_features(x: Tensor) -> Tensor:
    """elu(x) + 1 (Katharopoulos et al. 2020)."""
    return F.elu(x) + 1
