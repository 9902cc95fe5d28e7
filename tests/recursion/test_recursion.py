"""The recursive engine: sharing, gather-compute-scatter, depth maps, caches."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS
from bench3r.measure import flops
from bench3r.models.layers import TokenLayout
from bench3r.models.macs import block_macs
from bench3r.models.trunk import Schedule
from bench3r.recursion.depth import (
    lipschitz,
    lipschitz_regions,
    neighbour_differences,
    region_adjacency,
    statistics,
    violations,
)
from bench3r.recursion.packed import (
    FirstKeyValues,
    LatestKeyValues,
    Subset,
    as_grid,
    deeper_than,
    everything,
)
from bench3r.recursion.recovery import AffineStatistics
from bench3r.recursion.schedule import RecursiveSchedule, Routing
from bench3r.recursion.sharing import Sharing, initial_sources


def method(name: str, **options):
    cls = METHODS.get(name)
    return cls(cls.Options(**options))


class FixedDepth(RecursiveSchedule):
    """Routes by a given depth map."""

    def __init__(self, trunk, sharing, depth, cache=None):
        super().__init__(trunk, sharing, int(depth.max()), "average")
        self.depth, self.cache_class = depth, cache

    def route(self, inputs):
        return Routing(self.depth, self.max_depth)

    def select(self, routing, recursion, x, before):
        return deeper_than(routing.depth, recursion, before.layout)

    def key_values(self, routing):
        return self.cache_class() if self.cache_class else None


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
    """Mixed depth computed the slow way: every view's active tokens gathered one by one, no packing."""
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


def test_taps_follow_the_applications_and_repeat_the_last(tiny):
    images = torch.rand(1, 2, 3, 48, 48)
    tiny.schedule = FixedDepth(tiny.trunk, Sharing(4, 4), torch.full((1, 2, 6, 6), 2))
    with torch.no_grad():
        taps = tiny.run_trunk(images)[0].taps
    assert not torch.equal(taps[0], taps[1])
    assert torch.equal(taps[1], taps[2])
    assert torch.equal(taps[1], taps[3])


def test_sharing_patterns():
    assert Sharing(24, 4).group == 6
    assert Sharing(24, 4).sources(1) == [1, 7, 13, 19]
    assert Sharing(24, 4, "sequence").sources(1) == [4, 5, 6, 7]
    assert Sharing(24, 11, "middle_cycle").unshared == (1, 1)
    assert Sharing(12, 4, "middle_cycle").unshared == (2, 2)
    assert [s.position for s in Sharing(12, 4).steps(2)] == [0, 1, 2, 3, 4, 5]
    assert Sharing(12, 4).tap_steps((2, 5, 8, 11), 4) == {2: 2, 5: 5, 8: 8, 11: 11}
    assert Sharing(12, 4).tap_steps((2, 5, 8, 11), 2) == {2: 2, 5: 5, 8: 5, 11: 5}
    assert Sharing(24, 4).tap_steps((4, 11, 17, 23), 4) == {4: 5, 11: 11, 17: 17, 23: 23}
    assert initial_sources(Sharing(12, 4), 2, "stepwise") == [11]
    with pytest.raises(Bench3RError, match="no multiple of 3"):
        Sharing(4, 3)
    with pytest.raises(Bench3RError, match="middle_cycle"):
        Sharing(4, 4, "middle_cycle")


def test_average_initialisation_is_the_mean_of_the_tied_pairs(tiny):
    before = copy.deepcopy(tiny.trunk.frame_blocks)
    FixedDepth(tiny.trunk, Sharing(4, 4), torch.ones(1, 1, 6, 6, dtype=torch.int64))
    mean = torch.stack([b.mlp.fc1.weight for b in before]).mean(0)
    torch.testing.assert_close(tiny.trunk.frame_blocks[0].mlp.fc1.weight, mean)


def brute_lipschitz(depth: np.ndarray) -> np.ndarray:
    """max over q of depth(q) - chessboard distance(p, q)."""
    h, w = depth.shape
    rows, columns = np.mgrid[:h, :w]
    far = np.maximum(
        np.abs(rows.ravel()[:, None] - rows.ravel()),
        np.abs(columns.ravel()[:, None] - columns.ravel()),
    )
    return (depth.ravel()[None] - far).max(1).reshape(h, w)


def test_lipschitz_is_the_smallest_smooth_map_above(rng):
    for _ in range(20):
        depth = rng.integers(1, 6, (7, 9))
        smooth = lipschitz(torch.from_numpy(depth))
        np.testing.assert_array_equal(smooth.numpy(), brute_lipschitz(depth))
        assert max(int(d.max()) for d in neighbour_differences(smooth)) <= 1
        assert violations(smooth) == 0


def test_lipschitz_on_regions(rng):
    labels = torch.from_numpy(rng.integers(0, 6, (8, 8)))
    labels.view(-1)[:6] = torch.arange(6)
    adjacency = region_adjacency(labels, 6)
    smooth = lipschitz_regions(torch.tensor([4, 1, 1, 1, 1, 1]), adjacency)
    assert max(int(d.max()) for d in neighbour_differences(smooth[labels])) <= 1
    chain = torch.tensor([[0, 1, 2, 3]]).repeat_interleave(2, 1)
    assert lipschitz_regions(torch.tensor([4, 1, 1, 1]), region_adjacency(chain, 4)).tolist() == [
        4,
        3,
        2,
        1,
    ]


def test_statistics_report_a_collapse():
    assert statistics(torch.full((1, 1, 4, 4), 2), 4)["collapsed"]
    mixed = torch.tensor([[[[1, 1], [1, 3]]]])
    facts = statistics(mixed, 4)
    assert not facts["collapsed"]
    assert facts["depth_histogram"] == [0, 3, 0, 1, 0]
    assert facts["mean_depth"] == 1.5
    assert facts["violations"] == 0.5


def layout() -> TokenLayout:
    return TokenLayout(1, 2, 1, 3, 4)


def entries(subset: Subset, value: float) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (len(subset.index), 2, 4)
    return torch.full(shape, value), torch.full(shape, -value)


def test_caches_keep_what_their_names_say():
    depth = torch.ones(1, 2, 3, 4, dtype=torch.int64)
    depth[0, 0, 0, 0] = 2
    some, all_ = deeper_than(depth, 1, layout()), everything(layout(), torch.device("cpu"))
    assert some.lengths("frame") == [2, 1]  # the special tokens and one patch
    latest, first = LatestKeyValues(), FirstKeyValues()
    for cache in (latest, first):
        cache.offer(*entries(all_, 1.0), all_)
    keys, values, present = latest.offer(*entries(some, 5.0), some)
    assert len(present.index) == 26
    assert keys[some.index].unique().tolist() == [5.0]
    assert values.unique().tolist() == [-5.0, -1.0]
    assert not first.wants_new
    assert first.offer(None, None, some)[0].unique().tolist() == [1.0]


def test_spatial_blending_is_equation_4():

    module = METHODS.module(METHODS.files()["spatial_mor"])
    depth = torch.ones(1, 2, 3, 4, dtype=torch.int64)
    depth[0, 1, 1, 1] = 2
    all_ = everything(layout(), torch.device("cpu"))
    some = deeper_than(depth, 1, layout())
    cache = module.SpatialBlending(0.75, 0.5)
    generator = torch.Generator().manual_seed(0)
    old = torch.rand(26, 2, 2, 4, generator=generator)
    cache.offer(old[:, 0], old[:, 1], all_)
    new = torch.rand(len(some.index), 2, 2, 4, generator=generator)
    keys, values, _ = cache.offer(new[:, 0], new[:, 1], some)
    got = torch.stack([keys, values], 1)
    torch.testing.assert_close(got[some.index], 0.75 * new + 0.25 * old[some.index])
    stopped = 1  # first patch of view 0: the corner, whose neighbourhood has four patches
    corner = [1, 2, 5, 6]
    torch.testing.assert_close(got[stopped], 0.5 * old[corner].mean(0))


def test_region_coherent_holds_equation_5_exactly():

    module = METHODS.module(METHODS.files()["spatial_mor"])
    regions = torch.tensor([[[0, 0, 1, 1]] * 3, [[2, 2, 2, 3]] * 3])[None]
    cache = module.RegionCoherent(regions, 0.5)
    all_ = everything(layout(), torch.device("cpu"))
    raw = 3 * torch.randn(26, 2, 2, 4, generator=torch.Generator().manual_seed(0))
    keys, values, _ = cache.offer(raw[:, 0], raw[:, 1], all_)
    both = torch.stack([keys, values], 1)
    patches = as_grid(both, layout()).flatten(2).transpose(1, 2).flatten(0, 1)  # [24, 16]
    limit = 0.5 * patches.shape[1] ** 0.5
    labels = regions.flatten()
    for region in range(4):
        distance = torch.cdist(patches[labels == region], patches[labels == region])
        assert float(distance.max()) < limit
    assert float(torch.cdist(patches, patches).max()) > limit
    assert torch.equal(keys[[0, 13]], raw[[0, 13], 0])  # special tokens are left alone


def test_affine_recovery_is_exact_for_an_affine_relation():
    generator = torch.Generator().manual_seed(0)
    x, w, b = (torch.randn(s, generator=generator) for s in ((200, 6), (3, 6), (3,)))
    found = AffineStatistics(6, 3)
    found.add(x[:120], x[:120] @ w.mT + b)
    found.add(x[120:], x[120:] @ w.mT + b)
    weight, bias = found.solve()
    torch.testing.assert_close(weight, w, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(bias, b, rtol=1e-3, atol=1e-4)
    with pytest.raises(Bench3RError, match="without training scenes"):
        AffineStatistics(2, 2).solve()


def test_plain_schedule_ignores_progress(tiny):
    Schedule().set_progress(tiny, 0.5)
    assert all(p.requires_grad for n, p in tiny.named_parameters() if not n.endswith("mask_token"))
