"""Keys and values that recursions keep, and linear recovery of outputs."""

from __future__ import annotations

import pytest
import torch

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS
from bench3r.models.layers import TokenLayout
from bench3r.recursion.packed import (
    FirstKeyValues,
    LatestKeyValues,
    Subset,
    as_grid,
    deeper_than,
    everything,
)
from bench3r.recursion.recovery import AffineStatistics


def layout() -> TokenLayout:
    return TokenLayout(1, 2, 1, 3, 4)


def entries(subset: Subset, value: float) -> tuple[torch.Tensor, torch.Tensor]:
    shape = (len(subset.index), 2, 4)
    return torch.full(shape, value), torch.full(shape, -value)


def test_caches_keep_what_their_names_say():
    depth = torch.ones(1, 2, 3, 4, dtype=torch.int64)
    depth[0, 0, 0, 0] = 2
    some, all_ = deeper_than(depth, 1, layout()), everything(layout(), torch.device("cpu"))
    assert some.segments("frame").lengths == (2, 1)  # the special tokens and one patch
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


def test_keys_are_kept_in_the_precision_of_the_values():
    """Norms give keys in float32 under autocast; a cache of them would take half as much again."""
    all_ = everything(layout(), torch.device("cpu"))
    keep = LatestKeyValues()
    k = torch.randn(len(all_.index), 2, 4)
    v = torch.randn(len(all_.index), 2, 4, dtype=torch.bfloat16)
    keys, values, _ = keep.offer(k, v, all_)
    assert keys.dtype == values.dtype == torch.bfloat16
    assert keep.stored is not None
    assert torch.equal(keep.stored[:, 0], k.bfloat16())
