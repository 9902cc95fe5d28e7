"""SpatialMoR: smooth recursion depths, regions, losses, curriculum."""

from __future__ import annotations

import pytest
import torch

from bench3r.recursion.depth import neighbour_differences
from tests.helpers.changed import images, method, module


@pytest.mark.parametrize(
    "options", [{}, {"routing": "region_guided", "regions": 8}, {"max_depth": 3}]
)
def test_adjacent_patches_never_differ_by_more_than_one(tiny, options):
    """Whatever the router says: its weights are made loud, so that raw choices do violate."""
    chosen = method("spatial_mor", **options)
    chosen.apply(tiny)
    torch.nn.init.normal_(tiny.schedule.router.fc2.weight, std=30)
    tiny.eval()
    raw = []
    for seed in range(6):
        with torch.inference_mode():
            out = tiny(images(2, seed))
        depth = out.recursion_depth
        assert max(int(d.max()) for d in neighbour_differences(depth)) <= 1
        assert out.facts["violations"] == 0
        raw.append(out.facts["violations_before"])
    assert max(raw) > 0


def test_lipschitz_can_be_turned_off(tiny):
    method("spatial_mor", lipschitz=False).apply(tiny)
    torch.nn.init.normal_(tiny.schedule.router.fc2.weight, std=30)
    with torch.inference_mode():
        out = tiny.eval()(images())
    assert out.facts["violations"] == out.facts["violations_before"] > 0


def test_a_collapsed_router_is_reported(tiny):
    method("spatial_mor").apply(tiny)
    torch.nn.init.zeros_(tiny.schedule.router.fc2.weight)
    tiny.schedule.router.fc2.bias.data = torch.tensor([0.0, 9, 0, 0])
    with torch.inference_mode():
        facts = tiny.eval()(images()).facts
    assert facts["collapsed"]
    assert facts["depth_histogram"][2] == sum(facts["depth_histogram"])


def test_region_guided_depth_is_one_per_region(tiny):
    spatial = module("spatial_mor")
    method("spatial_mor", routing="region_guided", regions=6).apply(tiny)
    torch.nn.init.normal_(tiny.schedule.router.fc2.weight, std=30)
    picture = images()
    with torch.inference_mode():
        depth = tiny.eval()(picture).recursion_depth
    regions = spatial.segment(picture, (6, 8), 6)
    for label in regions.unique():
        assert len(depth[regions == label].unique()) == 1


def test_losses_of_equation_6_and_8():
    spatial = module("spatial_mor")
    uniform = torch.full((1, 4, 4, 4), 0.25)
    one = torch.zeros(1, 4, 4, 4)
    one[..., 0] = 1
    assert float(spatial.balance_loss(uniform)) == 0
    assert float(spatial.balance_loss(one)) == pytest.approx(0.75**2 + 3 * 0.25**2)
    assert float(spatial.local_balance_loss(one, 3, 0.9)) == pytest.approx(0.01)
    depth = torch.ones(1, 1, 3)
    depth[..., 2] = 3
    assert float(spatial.spatial_loss(depth, 1.0)) == pytest.approx(
        0.5
    )  # one of two pairs is 1 beyond delta


def test_curriculum_and_unfreezing(tiny):
    method("spatial_mor", warmup=0.4, unfreeze=0.5).apply(tiny)
    tiny.train()
    deepest, frozen = [], []
    for progress in (0.0, 0.3, 0.45, 0.65, 0.85):
        tiny.schedule.set_progress(tiny, progress)
        deepest.append(tiny.schedule.deepest)
        named = dict(tiny.named_parameters())
        frozen.append(
            [
                not named[n].requires_grad
                for n in (
                    "schedule.router.fc1.weight",
                    "aggregator.frame_blocks.0.attn.qkv.weight",
                    "depth_head.norm.weight",
                    "aggregator.patch_embed.norm.weight",
                )
            ]
        )
    assert deepest == [2, 2, 2, 3, 4]
    assert frozen[0] == [False, False, True, True]
    assert frozen[3] == [False, False, False, True]
    assert frozen[4] == [False] * 4
    depth = tiny.run_trunk(images())[0].recursion_depth
    tiny.schedule.set_progress(tiny, 0.1)
    assert tiny.run_trunk(images())[0].recursion_depth.unique().tolist() == [2]
    assert depth.shape == (1, 3, 6, 8)
