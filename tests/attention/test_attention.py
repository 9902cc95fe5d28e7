"""Efficient attention: exact at its neutral setting, order restored, chunks equal the whole, cost as promised, parity."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS
from bench3r.attention.fast_weights import FastWeights, initial_weights, unit
from bench3r.attention.float8 import StoredLinear, fake_quantise, quantise, replace_linears
from bench3r.attention.merging import bipartite_plan, strided_plan
from bench3r.attention.softmax import attention_with_lse, combine
from bench3r.attention.sparse import (
    _gathered,
    block_sparse_attention,
    flex_attention,
    kept_pairs,
    linear_attention,
    top_blocks,
)
from bench3r.measure import flops
from bench3r.models.layers import attention_modules
from bench3r.parity.check import check_file
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "golden"
PREFIXES = ("fastvggt", "lact", "lite3r", "sla", "sparse_vggt")
CASES = sorted(p.stem for p in GOLDEN.glob("*.json") if p.stem.startswith(PREFIXES))


def changed(model, name: str, **options):
    """A copy of ``model`` as the method changes it."""
    cls = METHODS.get(name)
    out = copy.deepcopy(model)
    method = cls(cls.Options(**options))
    method.apply(out)
    method.deploy(out)
    return out.eval()


def module(name: str):
    """The plug-in module of a method."""
    return METHODS.module(METHODS.files()[name])


@pytest.mark.parametrize("case", CASES)
def test_core_operations_equal_the_official_code(case):
    rows, passed = check_file(GOLDEN / f"{case}.json")
    assert passed, [r for r in rows if r[3] == "FAIL"]


NEUTRAL = {
    "spark3r": {"query_factor": 1, "kv_factor": 1, "layers": "fixed"},
    "spark3r symmetric": {"symmetric": 1},
    "fastvggt": {"ratio": 0.0, "protect": 0.0},
    "avggt": {"early": 0, "last": 4},
    "block_sparse": {"cdf": None, "sparse_ratio": 0.0, "q_block": 32, "k_block": 16},
    "vgg_t3": {"layers": 0},
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_neutral_settings_equal_dense_attention(tiny, name):
    images = torch.rand(1, 3, 3, 72, 96)
    with torch.inference_mode():
        dense, other = tiny(images), changed(tiny, name.split()[0], **NEUTRAL[name])(images)
    torch.testing.assert_close(other.depth, dense.depth, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(other.extrinsics, dense.extrinsics, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level", ["block", "token"])
def test_lite3r_keeping_everything_with_a_zero_projection_is_dense(tiny, level):
    images = torch.rand(1, 3, 3, 72, 96)
    model = changed(tiny, "lite3r", variant="sla_block", keep_ratio=1.0, block=16, level=level)
    for role in ("encoder", "frame", "global", "head"):
        for _, attention in attention_modules(model, role):
            nn.init.zeros_(attention.core.proj_lin.weight)
    with torch.inference_mode():
        torch.testing.assert_close(model(images).depth, tiny(images).depth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("factor", [1, 2, 3, 7])
def test_merging_then_unmerging_restores_order(factor):
    x = torch.randn(50, 8)
    groups, alone = (
        [torch.arange(5, 25), torch.arange(25, 48)],
        torch.tensor([0, 1, 2, 3, 4, 48, 49]),
    )
    plan = strided_plan(x, groups, alone, factor)
    assert plan.merged_length == 7 + -(-20 // factor) + -(-23 // factor)
    back = plan.unmerge(plan.merge(x[None]))[0]
    torch.testing.assert_close(back[alone], x[alone])
    same = (plan.read[:, None] == plan.read).float()
    torch.testing.assert_close(
        back, same @ x / same.sum(1, keepdim=True)
    )  # every token reads the mean of its group
    if factor == 1:
        torch.testing.assert_close(back, x)


def test_protected_tokens_of_a_bipartite_plan_read_themselves():
    x, destination = torch.randn(40, 8), torch.zeros(40, dtype=torch.bool)
    destination[::4] = True
    protected = torch.tensor([0, 5, 9])
    plan = bipartite_plan(x, destination, 100, protected)
    torch.testing.assert_close(plan.unmerge(plan.merge(x))[protected], x[protected])
    assert plan.merged_length == 10 + 3  # destinations, and the protected once more


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("g++") is None, reason="compiling FlexAttention needs a C++ compiler"
)
def test_flex_attention_equals_the_gathered_blocks():
    """The path that GPUs take, compiled for the CPU: last blocks shorter than the others, map as data."""
    q, k, v = torch.randn(1, 2, 70, 32), torch.randn(1, 2, 50, 32), torch.randn(1, 2, 50, 32)
    for _ in range(2):
        keep = torch.rand(1, 2, 5, 4) < 0.5
        keep[..., 0] = True
        with torch.no_grad():
            found = flex_attention(q, k, v, keep, 16, 16, kept_pairs(keep, 50, 16, 16)[1])
            torch.testing.assert_close(
                found, _gathered(q, k, v, keep, 16, 16), rtol=1e-4, atol=1e-5
            )


class Counted:
    """One tensor in the shape of a reconstruction, for the counter."""

    extras: dict = {}

    def __init__(self, x):
        self.x = x

    def tensors(self):
        return {"x": self.x}


class Wrapped(nn.Module):
    def forward(self, x):
        return Counted(x)


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
            return Counted(
                torch.ops.bench3r.flex_attention(x, k, k, keep.to(x.device), 16, 16, pairs)
            )

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


def test_fp8_products_equal_their_emulation_and_are_counted_alike():
    """The kernel that FP8 hardware runs exists for the CPU too."""
    linear, x = nn.Linear(32, 48), torch.randn(1, 5, 32)
    emulated = StoredLinear(linear, torch.float8_e4m3fn, activations=True)
    multiplied = StoredLinear(linear, torch.float8_e4m3fn, activations=True, products=True)
    assert multiplied.products
    assert not StoredLinear(nn.Linear(32, 9), torch.float8_e4m3fn, True, True).products
    with torch.no_grad():
        torch.testing.assert_close(
            multiplied(x), emulated(x), rtol=2e-2, atol=2e-2
        )  # sums come back in bf16
        assert (emulated(x) - linear(x)).abs().max() < 0.1
        counts = [
            flops.count(nn.Sequential(m, Wrapped()), x).macs for m in (linear, emulated, multiplied)
        ]
        assert counts == [5 * 32 * 48] * 3
        assert flops.count_torch(nn.Sequential(multiplied, Wrapped()), x) == counts[0]


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


def test_avggt_equals_one_softmax_with_mean_and_diagonal():
    m = module("avggt")
    from bench3r.models.layers import TokenLayout

    layout, core = TokenLayout(1, 3, 2, 4, 6), m.SubsampledCore(m.Options(factor=4))
    q, k, v = (torch.randn(1, 2, 78, 8) for _ in range(3))
    keep = core.kept(layout, q.device)
    assert keep[:26].all()  # the first view is whole
    gone = ~keep
    scores = torch.cat([q @ k.mT, q @ k[:, :, gone].mean(2, keepdim=True).mT], -1) * 8**-0.5
    allowed = torch.cat(
        [
            keep.expand(78, 78) | (torch.eye(78, dtype=torch.bool) & gone),
            torch.ones(78, 1, dtype=torch.bool),
        ],
        1,
    )
    weights = scores.masked_fill(~allowed, -torch.inf).softmax(-1)
    expected = weights @ torch.cat([v, v[:, :, gone].mean(2, keepdim=True)], 2)
    with torch.no_grad():
        torch.testing.assert_close(core(q, k, v, layout), expected, rtol=1e-5, atol=1e-5)


def test_linear_attention_is_linear_in_length():
    class Linear(nn.Module):
        def forward(self, x):
            return linear_attention(x, x, x)

    a, b = (flops.count_torch(Linear(), torch.rand(1, 2, n, 16)) for n in (256, 1024))
    assert b == 4 * a


def test_fast_weights_in_chunks_equal_the_whole():
    start = initial_weights(3, 16, 64, torch.Generator().manual_seed(1))
    k, v = unit(torch.randn(3, 90, 16)), torch.randn(3, 90, 16)
    lr = tuple(0.01 * torch.rand(3, 90, 1) for _ in range(3))
    whole, parts = (start.fit([(k, v, lr)], 2, chunk) for chunk in (1000, 17))
    for a, b in zip((whole.w0, whole.w1, whole.w2), (parts.w0, parts.w1, parts.w2), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    for before, after in zip(start.norms(), whole.norms(), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-4)  # columns keep their norm


def test_fast_weights_gradients_equal_autograd():
    w = [t.double().requires_grad_() for t in vars(initial_weights(2, 8, 32)).values()]
    k, v = torch.randn(2, 20, 8).double(), torch.randn(2, 20, 8).double()
    lr = tuple(torch.rand(2, 20, 1).double() for _ in range(3))
    weights = FastWeights(*w)
    for i, gradient in enumerate(weights.gradients(k, v, lr)):
        objective = (lr[i] * (weights.apply(k) * v).sum(-1, keepdim=True)).sum()
        (expected,) = torch.autograd.grad(objective, (w[0], w[1], w[2])[i])
        torch.testing.assert_close(gradient, expected)


def test_a_memory_recalls_what_it_was_fitted_to():
    torch.manual_seed(0)
    k, v = unit(torch.randn(1, 40, 16)), torch.randn(1, 40, 16)
    lr = tuple(torch.full((1, 40, 1), 0.1) for _ in range(3))
    start = initial_weights(1, 16, 64)
    agree = [
        F.cosine_similarity(w.apply(k), v, dim=-1).mean()
        for w in (start, start.fit([(k, v, lr)], 1, 99), start.fit([(k, v, lr)], 4, 99))
    ]
    assert agree[0] < 0.3 < agree[1] < agree[2]


def test_vgg_t3_costs_the_same_per_view_and_whatever_the_number(tiny):
    model = changed(tiny, "vgg_t3", steps=2)
    spent = {}
    for views in (2, 4, 8):
        counted = flops.count(model, torch.rand(1, views, 3, 72, 96))
        spent[views] = flops.parts(model, counted.by_module)["global_blocks"] / views
    fixed = 2 * (spent[2] - spent[4]) * 2  # Newton-Schulz does not depend on the views
    assert spent[8] == pytest.approx(spent[4] - fixed / 8, rel=1e-6)


def test_spark3r_reduces_what_it_says(tiny):
    images = torch.rand(1, 8, 3, 72, 96)
    cost = {}
    for q, kv in ((1, 1), (1, 4), (2, 1)):
        model = changed(tiny, "spark3r", query_factor=q, kv_factor=kv, layers="fixed")
        counted = flops.count(model, images)
        attention = sum(
            v for k, v in counted.by_module.items() if k.endswith("attn.core") and "global" in k
        )
        cost[q, kv] = attention
    tokens, width = 8 * 113, 2 * 96
    assert cost[1, 1] == 4 * tokens * tokens * width
    kept = 2 * 113 + 6 * 5  # views 0 and 4, special tokens of the others
    assert cost[1, 4] == 4 * tokens * kept * width
    merged = 113 + 7 * 5 + 7 * 108 // 2
    matching = 7 * 108 // 2
    assert cost[2, 1] == 4 * (merged * tokens * width + matching * matching * 96)


def test_published_schedule_of_spark3r():
    options = module("spark3r").Options()
    assert [options.query(s) for s in (100, 101, 300, 301, 501)] == [1, 2, 2, 3, 4]
    assert [options.key_value(s, True) for s in (100, 101, 300, 1000)] == [1, 3, 8, 25]
    assert [options.key_value(s, False) for s in (100, 1000)] == [3, 75]
    assert [i for i, s in enumerate(module("spark3r").published_sensitive("vggt", 24)) if s] == [
        11,
        12,
        13,
        14,
        15,
        16,
    ]


def test_the_memory_can_be_frozen_and_asked(tiny):
    m = module("vgg_t3")
    model = changed(tiny, "vgg_t3")
    images = torch.rand(1, 4, 3, 72, 96)
    m.set_mode(model, "recall")
    with torch.inference_mode(), pytest.raises(ValueError, match="before it has a memory"):
        model(images)
    m.set_mode(model, "store")
    with torch.inference_mode():
        stored, _ = model.run_trunk(images)
        m.set_mode(model, "recall")
        again, _ = model.run_trunk(images)  # the same images through the frozen memory
        found = m.localise(model, images[:, :1], images[:, 2:])
    torch.testing.assert_close(again.taps[3], stored.taps[3], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        found.taps[3], stored.taps[3][:, 2:], rtol=1e-4, atol=1e-4
    )  # each view is asked alone


def test_fp8_storage_keeps_values_and_a_quarter_of_the_bytes():
    linear = nn.Linear(32, 16)
    stored, x = StoredLinear(linear, torch.float8_e4m3fn), torch.randn(5, 32)
    codes, scale = quantise(linear.weight.detach())
    assert stored.weight.element_size() == 1
    torch.testing.assert_close(stored(x), F.linear(x, codes.float() * scale, linear.bias))
    torch.testing.assert_close(fake_quantise(linear.weight).detach(), codes.float() * scale)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    assert replace_linears(model, lambda m: StoredLinear(m, torch.bfloat16)) == 2


BAD = {
    "factor below 1": ("spark3r", {"query_factor": 0}, "query_factor"),
    "keep ratio 0": ("lite3r", {"keep_ratio": 0.0}, "keep_ratio"),
    "unknown factor": ("avggt", {"factor": 5}, "factor"),
    "no steps": ("vgg_t3", {"steps": 0}, "steps"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_options_are_named(name):
    from pydantic import ValidationError

    method, options, key = BAD[name]
    with pytest.raises(ValidationError, match=key):
        METHODS.get(method).Options(**options)


def test_layers_that_do_not_exist_stop_the_plan():
    cls = METHODS.get("avggt")
    with pytest.raises(Bench3RError, match="has 4 global layers"):
        cls(cls.Options(early=4, last=1)).check("vggt", "tiny")


def test_a_schedule_that_leaves_tokens_out_is_refused(tiny):
    model = changed(changed(tiny, "spark3r"), "mor")
    with torch.inference_mode(), pytest.raises(ValueError, match="spark3r needs all tokens"):
        model(torch.rand(1, 4, 3, 72, 96))


def test_a_group_larger_than_the_scene_is_an_error(tiny):
    model = changed(tiny, "spark3r", group=9, query_factor=2)
    with (
        torch.inference_mode(),
        pytest.raises(ValueError, match="group is 9 views, but the scene has only 4"),
    ):
        model(torch.rand(1, 4, 3, 72, 96))


def test_a_model_without_global_attention_is_refused():
    from bench3r.models.vggt.camera_head import CameraHead

    cls = METHODS.get("fastvggt")
    with pytest.raises(ValueError, match="CameraHead has no attention of role 'global'"):
        cls(cls.Options()).apply(CameraHead(32, 1, 2))
