"""Block-sparse and linear attention: equal to masked attention, nothing left out is computed."""

from __future__ import annotations

import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench3r.api.method import METHODS
from bench3r.attention import sparse
from bench3r.attention.softmax import attention_with_lse, combine
from bench3r.attention.sparse import (
    _gathered,
    attend_in_parts,
    block_sparse_attention,
    flex_attention,
    kept_pairs,
    linear_attention,
    pool_blocks,
    top_blocks,
)
from bench3r.measure import flops
from tests.helpers.attention import Counted
from tests.helpers.gpu_free.device import PretendCuda


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("g++") is None, reason="compiling FlexAttention needs a C++ compiler"
)
def test_flex_attention_equals_the_gathered_blocks_and_a_dense_mask():
    """The path that GPUs take, compiled for the CPU: last blocks are shorter, the map is data."""
    q = torch.randn(1, 2, 70, 32)
    k = torch.randn(1, 2, 50, 32)
    v = torch.randn(1, 2, 50, 32)
    for _ in range(2):
        keep = torch.rand(1, 2, 5, 4) < 0.5
        keep[..., 0] = True
        mask = keep.repeat_interleave(16, 2)[:, :, :70].repeat_interleave(16, 3)[..., :50]
        with torch.no_grad():
            found = flex_attention(q, k, v, keep, 16, 16)
            gathered = _gathered(q, k, v, keep, 16, 16)
            dense = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        torch.testing.assert_close(found, gathered, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found, dense, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("g++") is None, reason="compiling FlexAttention needs a C++ compiler"
)
def test_flex_attention_is_counted_like_the_gathered_blocks():
    keep = torch.rand(1, 2, 5, 4) < 0.5
    keep[..., 0] = True
    pairs = kept_pairs(keep, 50, 16, 16)[1]

    class Flex(nn.Module):
        def forward(self, x):
            k = x[:, :, :50]
            kept = keep.to(x.device)
            return Counted(torch.ops.bench3r.flex_attention(x, k, k, kept, 16, 16, pairs=pairs))

    class Gathered(nn.Module):
        def forward(self, x):
            return Counted(_gathered(x, x[:, :, :50], x[:, :, :50], keep, 16, 16))

    x = torch.randn(1, 2, 70, 32)
    expected = flops.count(Gathered(), x).macs
    assert expected == pairs * 64 > 0
    assert flops.count(Flex(), x).macs == expected
    assert (
        flops.count_torch(Flex(), x.to("meta")) == expected
    )  # torch's counter cannot stand beside its compiler
    formula = flops._flex_flops
    assert formula(x, x[:, :, :50], x[:, :, :50], keep, 16, 16) == 2 * expected  # by the map


def test_block_sparse_attention_equals_masked_attention():
    q, k, v = torch.randn(2, 3, 70, 8), torch.randn(2, 3, 45, 8), torch.randn(2, 3, 45, 8)
    keep = torch.rand(2, 3, 5, 6) > 0.5
    keep[..., 0] = True
    mask = keep.repeat_interleave(16, 2)[:, :, :70].repeat_interleave(8, 3)[..., :45]
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(
        block_sparse_attention(q, k, v, keep, 16, 8), expected, rtol=1e-5, atol=1e-5
    )
    with pytest.raises(ValueError, match="keeps no key block"):
        block_sparse_attention(q, k, v, torch.zeros_like(keep), 16, 8)
    with pytest.raises(ValueError, match=r"the block map is \(2, 3, 5, 6\), expected"):
        block_sparse_attention(q, k, v, keep, 8, 8)


def test_parts_of_heads_and_queries_give_what_the_whole_gives(monkeypatch):
    q = torch.randn(2, 4, 70, 8)
    k = torch.randn(2, 4, 45, 8)

    def attend(q, k, v):
        scores = pool_blocks(q, 16) @ pool_blocks(k, 8).mT
        return block_sparse_attention(q, k, v, top_blocks(scores, 2), 16, 8)

    with torch.no_grad():
        whole = attend(q, k, k)
        for pairs in (1, 12, 25, 60, 130):
            monkeypatch.setattr(sparse, "PAIRS", pairs)
            parts = attend_in_parts(attend, q, k, k, 16, 8)
            torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)


def test_what_a_block_map_leaves_out_is_not_computed():
    class Sparse(nn.Module):
        def __init__(self, share):
            super().__init__()
            self.share = share

        def forward(self, q):
            keep = top_blocks(torch.rand(1, 2, 16, 16), int(16 * self.share))
            return block_sparse_attention(q, q, q, keep, 32, 32)

    q = torch.randn(1, 2, 512, 16)
    quarter, half = (flops.count_torch(Sparse(s), q) for s in (0.25, 0.5))
    assert half == 2 * quarter == 2 * (2 * 512 * 128 * 32)


def test_attention_over_parts_of_the_keys_adds_up():
    q, k, v = (torch.randn(1, 2, n, 8) for n in (9, 20, 20))
    whole = F.scaled_dot_product_attention(q, k, v)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            parts = [
                attention_with_lse(q, k[:, :, s], v[:, :, s]) for s in (slice(0, 7), slice(7, 20))
            ]
        out, lse = combine(*parts)
        torch.testing.assert_close(out, whole, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(lse, ((q @ k.mT) * 8**-0.5).logsumexp(-1), rtol=1e-5, atol=1e-5)


def test_linear_attention_is_linear_in_length():
    class Linear(nn.Module):
        def forward(self, x):
            return linear_attention(x, x, x)

    a, b = (flops.count_torch(Linear(), torch.rand(1, 2, n, 16)) for n in (256, 1024))
    assert b == 4 * a


def maps(name):
    """What makes a map of blocks, or of their order, of scores [N, h, Bq, Bk]."""
    cls = METHODS.get("block_sparse")
    module = METHODS.module(METHODS.files()["block_sparse"])
    options = cls.Options(cdf=0.9, sparse_ratio=0.5)
    made = {
        "best": lambda scores: top_blocks(scores, int(0.3 * scores.shape[-1])),
        "likeliest": lambda scores: sparse.some_rows(
            lambda rows: module._likeliest(options, rows), scores.softmax(-1)
        ),
        "order": lambda scores: sparse.some_rows(sparse._kept_first, scores > 0),
    }
    return made[name]


@pytest.mark.parametrize("name", ["best", "likeliest", "order"])
def test_maps_made_some_rows_at_a_time_are_those_made_at_once(monkeypatch, name):
    scores = torch.randn(2, 3, 7, 16, generator=torch.Generator().manual_seed(0))
    make = maps(name)
    whole = make(scores)
    monkeypatch.setattr(sparse, "RANKED", 40)
    assert torch.equal(make(scores), whole)
    if name == "order":
        kept = (scores > 0).sum(-1, keepdim=True)
        first = torch.arange(16) < kept
        assert torch.equal((scores > 0).gather(-1, whole.long()), first)
        assert whole.dtype == torch.int32
    else:
        assert whole.any(-1).all()


MIB = 1 << 20
# MiB of the map or its order, and what may be held beside it; all at once: 333, 2,048 and 1,024
HELD = {"best": (128, 128), "likeliest": (128, 384), "order": (512, 384)}


@pytest.mark.parametrize("name", HELD)
def test_maps_of_a_thousand_frames_take_little_beside_themselves(name):
    kept, beside = HELD[name]
    with PretendCuda(values=False) as gpu, torch.inference_mode():
        scores = torch.empty(1, 1, 8192, 16384, device="cuda")  # as many as are decided on at once
        softmax = 512 if name == "likeliest" else 0
        asked = 128 if name == "order" else 0  # the map whose order is wanted
        gpu.memory.reset()
        before = gpu.memory.live
        out = maps(name)(scores)
        assert out.numel() * out.element_size() == kept * MIB
        assert (gpu.memory.peak - before) / MIB <= softmax + asked + kept + beside
