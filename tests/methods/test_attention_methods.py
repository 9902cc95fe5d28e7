"""Methods that change attention: dense at their neutral setting, cost as promised, bad input."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS
from bench3r.measure import flops
from bench3r.models.layers import attention_modules
from tests.helpers.attention import changed
from tests.helpers.changed import module

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


def test_avggt_equals_one_softmax_with_mean_and_diagonal():
    m = module("avggt")
    from bench3r.models.layers import TokenLayout

    layout, core = TokenLayout(1, 3, 2, 4, 6), m.SubsampledCore(m.Options(factor=4))
    q, k, v = (torch.randn(1, 2, 78, 8) for _ in range(3))
    keep = torch.zeros(78, dtype=torch.bool)
    keep[core.places(layout, q.device)[0]] = True
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
