"""Block-sparse softmax attention: only chosen pairs of query and key blocks are computed.

Which pairs is a boolean map [N, heads, query blocks, key blocks]. On the CPU the kept key blocks of
every query block are gathered and attended to in batches of equal length, so nothing that the map
leaves out is computed. On a GPU the map goes to FlexAttention, compiled (a test compiles it for the
CPU; its speed on a GPU has not been measured here). That call is an operator of its own,
``bench3r::flex_attention``, so that FLOP counters see one node with its cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.models.chunks import in_chunks

Pooling = Literal["mean", "max"]  # of the tokens of a block
GATHERED = 1 << 24  # key elements gathered at once
PAIRS = 1 << 27  # pairs of blocks decided on at once
RANKED = 1 << 24  # of them put in order at once: their indices are 128 MB
SMALLEST_TILE = 16  # of a GPU's matrix products
COUNTED_FROM_MAP = -1  # pairs that a FLOP counter finds itself
COMPILATIONS = 256  # of FlexAttention in one process


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
        counts[-1:].fill_(block - missing)
    return total / counts


def top_blocks(scores: Tensor, count: int) -> Tensor:
    """Map of the ``count`` best key blocks of every query block, from ``scores`` [N, h, Bq, Bk]."""

    def best(rows: Tensor) -> Tensor:
        chosen = rows.topk(count, dim=-1).indices
        return torch.zeros_like(rows, dtype=torch.bool).scatter_(-1, chosen, 1)  # 1: can be traced

    return some_rows(best, scores)


def some_rows(run: Callable[[Tensor], Tensor], blocks: Tensor) -> Tensor:
    """``run``, which treats each query block alone, on ``blocks`` [N, h, Bq, Bk], some at a time.

    It gives one row [..., n] for each; all of them are [N, h, Bq, n]. Ranks and indices, which
    torch has in int64 alone, so take little.
    """
    rows = max(1, RANKED // int(blocks.shape[-1]))
    return in_chunks(run, blocks.flatten(0, 2), rows).unflatten(0, blocks.shape[:3])


# attention of queries [N, h, Lq, d] to keys and values [N, h, Lk, d]
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def attend_in_parts(
    attend: Attend,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_block: int,
    k_block: int,
    split_queries: bool = True,
) -> Tensor:
    """``attend`` to ``q`` [N, h, Lq, d], ``k``, ``v`` [N, h, Lk, d], some heads at a time.

    So maps of blocks [N, h, Bq, Bk], which grow with the square of the scene, stay small. Where one
    head has too many pairs of blocks, so do parts of its query blocks, if ``split_queries``:
    ``attend`` then treats each of them alone.
    """
    heads = int(q.shape[1])
    length = int(q.shape[2])
    columns = int(k.shape[0]) * math.ceil(int(k.shape[2]) / k_block)
    rows = math.ceil(length / q_block)
    if heads * rows * columns <= PAIRS or torch.is_grad_enabled():
        return attend(q, k, v)
    some_heads = max(1, PAIRS // (rows * columns))
    some = length
    if split_queries:
        some = q_block * max(1, PAIRS // (some_heads * columns))
    shape = (*q.shape[:3], v.shape[-1])
    out = torch.empty(shape, dtype=v.dtype, device=v.device)
    for head in range(0, heads, some_heads):
        chosen = slice(head, head + some_heads)
        for start in range(0, length, some):
            part = slice(start, start + some)
            out[:, chosen, part] = attend(q[:, chosen, part], k[:, chosen], v[:, chosen])
    return out


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
    with keys and values of zero that take part. Raises ValueError when the map does not fit the
    sequences, or a query block keeps nothing (not on a GPU, where looking would make it wait).
    """
    query_blocks = math.ceil(int(q.shape[2]) / q_block)
    key_blocks = math.ceil(int(k.shape[2]) / k_block)
    expected = (int(q.shape[0]), int(q.shape[1]), query_blocks, key_blocks)
    if tuple(keep.shape) != expected:
        raise ValueError(f"the block map is {tuple(keep.shape)}, expected {expected}")
    if zero_padded:
        k, v = (F.pad(x, (0, 0, 0, -x.shape[2] % k_block)) for x in (k, v))
    tiled = q_block % SMALLEST_TILE == 0 and k_block % SMALLEST_TILE == 0
    if q.device.type == "cuda" and not torch.is_grad_enabled() and tiled:
        pairs = COUNTED_FROM_MAP
        if torch.jit.is_tracing():  # a tracing counter sees no content
            pairs = kept_pairs(keep, int(k.shape[2]), q_block, k_block)[1]
        return torch.ops.bench3r.flex_attention(q, k, v, keep, q_block, k_block, pairs=pairs)
    if not kept_pairs(keep, int(k.shape[2]), q_block, k_block)[0]:
        raise ValueError("a query block keeps no key block: softmax over nothing is undefined")
    return _gathered(q, k, v, keep, q_block, k_block)


def kept_pairs(keep: Tensor, keys: int, q_block: int, k_block: int) -> tuple[int, int]:
    """Fewest key blocks that a query block keeps, and how many pairs of tokens are computed.

    ``keep`` [N, h, Bq, Bk]; queries count as whole blocks.
    """
    kept = keep.sum(-1)
    lacking = keep.shape[-1] * k_block - keys  # tokens of the last block
    tokens = kept.sum() * k_block - keep[..., -1].sum() * lacking
    least, pairs = torch.stack([kept.min(), tokens * q_block]).tolist()  # one wait for the device
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


def _kept_first(keep: Tensor) -> Tensor:
    """Indices int32 [R, Bk] of the key blocks of each row of a map [R, Bk], the kept ones first."""
    return keep.to(torch.uint8).argsort(dim=-1, descending=True, stable=True).to(torch.int32)


def tiles(q_block: int, k_block: int, head_dim: int, dtype: torch.dtype) -> dict[str, Any]:
    """FlexAttention's tiles for blocks of ``q_block`` and ``k_block`` tokens, as kernel options.

    Inductor's own choice need not divide the blocks. These do, and a tile of queries takes no more
    than 32 KiB, one of keys 8, so that all GPUs from Ampere on have room for them.
    """
    row = head_dim * dtype.itemsize
    return {
        "BLOCK_M": _tile(q_block, min(128, (32 << 10) // row)),
        "BLOCK_N": _tile(k_block, (8 << 10) // row),
        "FORCE_USE_FLEX_ATTENTION": True,  # not the kernel for few queries, which has other tiles
    }


def _tile(block: int, most: int) -> int:
    """The largest power of two that divides ``block``, at most ``most`` and at least the least."""
    tile = SMALLEST_TILE
    while 2 * tile <= most and block % (2 * tile) == 0:
        tile *= 2
    return tile


@torch.library.custom_op("bench3r::flex_attention", mutates_args=())
def flex_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keep: Tensor,
    q_block: int,
    k_block: int,
    pairs: int = COUNTED_FROM_MAP,
) -> Tensor:
    """FlexAttention of ``q`` [N, h, Lq, d] over the kept blocks of ``k``, ``v`` [N, h, Lk, d].

    The map ``keep`` [N, h, Bq, Bk] is data, so nothing is compiled anew for another one.
    ``pairs``, of query and key that are computed, is for FLOP counters alone; negative: they count
    the map's. Autocast is off inside, where not every torch has a rule for FlexAttention.
    """
    from torch.nn.attention.flex_attention import BlockMask

    length = q.shape[2]
    keys = k.shape[2]
    counts = keep.sum(-1, dtype=torch.int32)
    order = some_rows(_kept_first, keep)

    def in_range(b: Tensor, h: Tensor, qi: Tensor, ki: Tensor) -> Tensor:
        return ki < keys

    mask = BlockMask.from_kv_blocks(
        counts,
        order,
        BLOCK_SIZE=(q_block, k_block),
        mask_mod=in_range,
        compute_q_blocks=False,  # of use to gradients alone
    )
    q = F.pad(q, (0, 0, 0, -length % q_block))
    k = F.pad(k.to(q.dtype), (0, 0, 0, -keys % k_block))
    v = F.pad(v.to(q.dtype), (0, 0, 0, -keys % k_block))
    options = tiles(q_block, k_block, int(q.shape[-1]), q.dtype)
    # every length is a compilation of its own; beyond the limit torch would not compile at all
    limits = torch._dynamo.config.patch(recompile_limit=COMPILATIONS)
    with limits, torch.autocast(q.device.type, enabled=False):
        out = _compiled_flex()(q, k, v, block_mask=mask, kernel_options=options)
    return out[:, :, :length]


@torch.library.register_fake("bench3r::flex_attention")
def _(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keep: Tensor,
    q_block: int,
    k_block: int,
    pairs: int = COUNTED_FROM_MAP,
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
