"""The recursive schedule: equal to the backbone at full depth, nothing stopped is computed."""

from __future__ import annotations

import pytest
import torch

from bench3r.measure import flops
from bench3r.models.macs import block_macs
from bench3r.models.trunk import Schedule
from bench3r.recursion.packed import (
    LatestKeyValues,
)
from bench3r.recursion.sharing import Sharing
from tests.helpers.recursion import FixedDepth


@pytest.fixture
def tied(tiny):
    """A tiny VGGT whose pairs all have the same weights, so that recursion can equal it."""
    for blocks in (tiny.trunk.frame_blocks, tiny.trunk.global_blocks):
        for block in blocks[1:]:
            block.load_state_dict(blocks[0].state_dict())
    return tiny


@pytest.mark.parametrize("cache", [None, LatestKeyValues])
@pytest.mark.parametrize("pattern", ["cycle", "sequence"])
def test_uniform_full_depth_equals_the_backbone(tied, cache, pattern):
    images = torch.rand(2, 3, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = tied(images)
        tied.schedule = FixedDepth(
            tied.trunk, Sharing(4, 4, pattern), torch.full((2, 3, 6, 8), 4), cache
        )
        got = tied(images)
    for name, value in expected.tensors().items():
        torch.testing.assert_close(getattr(got, name), value, rtol=1e-4, atol=1e-5)
    assert len(tied.trunk.frame_blocks) == 1


def test_middle_cycle_keeps_first_and_last_pairs(tiny):
    images = torch.rand(1, 2, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    for blocks in (tiny.trunk.frame_blocks, tiny.trunk.global_blocks):
        blocks[2].load_state_dict(blocks[1].state_dict())
    with torch.no_grad():
        expected = tiny(images)
        tiny.schedule = FixedDepth(
            tiny.trunk, Sharing(4, 2, "middle_cycle"), torch.full((1, 2, 6, 6), 2)
        )
        got = tiny(images)
    torch.testing.assert_close(got.depth, expected.depth, rtol=1e-4, atol=1e-5)


def reference_trunk(model, images, depth, recursions):
    """Mixed recursion depths computed the slow way: each view's active tokens, without packing."""
    trunk = model.trunk
    tokens, layout = trunk.embed(images)
    rope = trunk.rope(layout, tokens.device)
    x = tokens.clone()
    frame_out = tokens.clone()
    b, s, t, _ = x.shape
    keep_depth = torch.cat([torch.full((b, s, layout.special), 99), depth.flatten(2)], 2)
    for r in range(recursions):
        keep = keep_depth > r
        after = x.clone()
        for i in range(b):
            for v in range(s):
                k = keep[i, v]
                after[i, v, k] = trunk.frame_blocks[0](x[i, v, k][None], rope[:, k])[0]
                frame_out[i, v, k] = after[i, v, k]
            k = keep[i].flatten()
            flat = after[i].flatten(0, 1)
            flat[k] = trunk.global_blocks[0](flat[k][None], rope.repeat(1, s, 1, 1)[:, k])[0]
            x[i] = flat.view(s, t, -1)
    return torch.cat([frame_out, x], -1)


def test_packed_recursion_equals_one_view_at_a_time(tied):
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(2, 3, 3, 48, 64, generator=generator)
    depth = torch.randint(1, 5, (2, 3, 6, 8), generator=generator)
    with torch.no_grad():
        expected = reference_trunk(tied, images, depth, 4)
        tied.schedule = FixedDepth(tied.trunk, Sharing(4, 4), depth)
        out, _ = tied.run_trunk(images)
    torch.testing.assert_close(out.taps[3], expected, rtol=1e-4, atol=1e-5)


def test_stopped_tokens_are_not_computed(tied):
    """Counted multiply-adds equal the closed form of the active tokens alone."""
    images = torch.rand(1, 2, 3, 48, 64)
    depth = torch.ones(1, 2, 6, 8, dtype=torch.int64)
    depth[:, :, :3, :4] = 3
    dense = flops.count(tied, images)
    tied.schedule = FixedDepth(tied.trunk, Sharing(4, 4), depth)
    mixed = flops.count(tied, images)
    per_view = [5 + 48, 5 + 12, 5 + 12]
    trunk = sum(2 * block_macs(n, n, 96) + block_macs(2 * n, 2 * n, 96) for n in per_view)
    whole = 4 * (2 * block_macs(53, 53, 96) + block_macs(106, 106, 96))
    assert dense.macs - mixed.macs == whole - trunk
    assert flops.count_torch(tied, images) == mixed.macs


def test_plain_schedule_ignores_progress(tiny):
    Schedule().set_progress(tiny, 0.5)
    assert all(p.requires_grad for n, p in tiny.named_parameters() if not n.endswith("mask_token"))
