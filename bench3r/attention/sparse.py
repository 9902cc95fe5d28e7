"""Block-sparse softmax attention: only chosen pairs of query and key blocks are computed.

Which pairs is a boolean map [N, heads, query blocks, key blocks]. On the CPU the kept key blocks of
every query block are gathered and attended to in batches of equal length, so nothing that the map
leaves out is computed. On a GPU the map goes to FlexAttention, compiled (a test compiles it for the
CPU; its speed on a GPU has not been measured here). That call is an operator of its own,
``bench3r::flex_attention``, so that FLOP counters see one node with its cost.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Pooling = Literal["mean", "max"]  # of the tokens of a block
GATHERED = 1 << 24  # key elements gathered at once


def pool_blocks(
    x: Tensor, block: int, zero_padded: bool = False, pooling: Pooling = "mean"
) -> Tensor:
    """Means or largest values [N, h, blocks, d] of ``x`` [N, h, L, d] over ``block`` tokens each.

    The last block is pooled over its own tokens, or over ``block`` tokens with zeros for those it
    lacks.
    """
    length = x.shape[2]
    missing = -length % block
    if pooling == "max":
        filling = 0.0 if zero_padded else -math.inf
        whole = F.pad(x, (0, 0, 0, missing), value=filling)
        return whole.unflatten(2, (-1, block)).amax(3)
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
    """Softmax attention of ``q`` [N, h, Lq, d] over the key blocks that a map allows.

    ``k``, ``v`` [N, h, Lk, d]; the map ``keep`` is [N, h, Bq, Bk]. Blocks are ``q_block`` and
    ``k_block`` consecutive tokens; the last ones may be shorter, or (``zero_padded``) are filled up
    with keys and values of zero that take part. Raises ValueError when a query block keeps nothing
    or the map does not fit the sequences.
    """
    query_blocks = math.ceil(int(q.shape[2]) / q_block)
    key_blocks = math.ceil(int(k.shape[2]) / k_block)
    expected = (int(q.shape[0]), int(q.shape[1]), query_blocks, key_blocks)
    if tuple(keep.shape) != expected:
        raise ValueError(f"the block map is {tuple(keep.shape)}, expected {expected}")
    if zero_padded:
        k, v = (F.pad(x, (0, 0, 0, -x.shape[2] % k_block)) for x in (k, v))
    least, pairs = kept_pairs(keep, int(k.shape[2]), q_block, k_block)
    if not least:
        raise ValueError("a query block keeps no key block: softmax over nothing is undefined")
    if q.device.type == "cuda" and not torch.is_grad_enabled():
        return torch.ops.bench3r.flex_attention(q, k, v, keep, q_block, k_block, pairs=pairs)
    return _gathered(q, k, v, keep, q_block, k_block)


def kept_pairs(keep: Tensor, keys: int, q_block: int, k_block: int) -> tuple[int, int]:
    """Fewest key blocks that a query block keeps, and how many pairs of tokens are computed.

    ``keep`` [N, h, Bq, Bk]; queries count as whole blocks.
    """
    sizes = torch.full((keep.shape[-1],), k_block, device=keep.device)
    sizes[-1] = keys - (keep.shape[-1] - 1) * k_block
    both = torch.stack([keep.sum(-1).min(), (keep * sizes).sum() * q_block])
    least, pairs = both.tolist()  # one wait for the device
    return int(least), int(pairs)


def _as_blocks(x: Tensor, block: int) -> Tensor:
    """``x`` [N, h, L, d], filled up with zeros, as [N * h * blocks, block, d]."""
    padded = F.pad(x, (0, 0, 0, -x.shape[2] % block))
    return padded.unflatten(2, (-1, block)).flatten(0, 2)


def _gathered(q: Tensor, k: Tensor, v: Tensor, keep: Tensor, q_block: int, k_block: int) -> Tensor:
    """Query blocks that keep equally many key blocks, together: gather the keys, attend once."""
    n, h, length, d = map(int, q.shape)
    blocks = _as_blocks(q, q_block)
    keys = _as_blocks(k, k_block)
    values = _as_blocks(v, k_block)
    rows = keep.flatten(0, 2)
    per_sequence = int(keep.shape[3])
    last = int(k.shape[2]) - (per_sequence - 1) * k_block  # real tokens of the last block
    partial = rows[:, -1] if last < k_block else torch.zeros_like(rows[:, -1])
    kind = 2 * rows.sum(1) + partial
    results = []
    order = []
    for value in kind.unique().tolist():
        members = (kind == value).nonzero().squeeze(1)
        for part in members.split(max(1, GATHERED // (value // 2 * k_block * d))):
            # ascending, so that the last block comes last
            which = rows[part].nonzero()[:, 1].view(len(part), -1)
            where = which + (part // keep.shape[2])[:, None] * per_sequence
            end = last - k_block if value % 2 else None
            ks = keys[where].flatten(1, 2)[:, None, :end]
            vs = values[where].flatten(1, 2)[:, None, :end]
            attended = F.scaled_dot_product_attention(blocks[part][:, None], ks, vs)
            results.append(attended[:, 0])
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
    """FlexAttention of ``q`` [N, h, Lq, d] over the kept blocks of ``k``, ``v`` [N, h, Lk, d].

    The map ``keep`` [N, h, Bq, Bk] is data, so nothing is compiled anew for another one.
    ``pairs``, of query and key that are computed, is for FLOP counters alone.
    """
    from torch.nn.attention.flex_attention import BlockMask

    length = q.shape[2]
    keys = k.shape[2]
    counts = keep.sum(-1, dtype=torch.int32)
    order = keep.int().argsort(dim=-1, descending=True, stable=True).to(torch.int32)

    def in_range(b: Tensor, h: Tensor, qi: Tensor, ki: Tensor) -> Tensor:
        return ki < keys

    mask = BlockMask.from_kv_blocks(counts, order, BLOCK_SIZE=(q_block, k_block), mask_mod=in_range)
    q = F.pad(q, (0, 0, 0, -length % q_block))
    k = F.pad(k, (0, 0, 0, -keys % k_block))
    v = F.pad(v, (0, 0, 0, -keys % k_block))
    return _compiled_flex()(q, k, v, block_mask=mask)[:, :, :length]


@torch.library.register_fake("bench3r::flex_attention")
def _(
    q: Tensor, k: Tensor, v: Tensor, keep: Tensor, q_block: int, k_block: int, pairs: int
) -> Tensor:
    return q.new_empty((*q.shape[:-1], v.shape[-1]))


def linear_attention(q: Tensor, k: Tensor, v: Tensor, eps: float = 1e-6) -> Tensor:
    """phi(Q) (phi(K)^T V) / (phi(Q) sum phi(K) + eps), linear in L.

    ``q``, ``k`` [N, h, L, d] are non-negative features phi, ``v`` [N, h, L, d] values.
    """
    memory = k.mT @ v
    return (q @ memory) / ((q * k.sum(2, keepdim=True)).sum(-1, keepdim=True) + eps)


def elu_features(x: Tensor) -> Tensor:
    """elu(x) + 1 of ``x`` [...] (Katharopoulos et al. 2020)."""
    return F.elu(x) + 1
