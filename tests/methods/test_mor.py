"""Mixture-of-Recursions: capacities, gradients of the router gate, predicted savings."""

from __future__ import annotations

import pytest
import torch

from bench3r.api.method import METHODS, BuildContext
from bench3r.measure import flops
from bench3r.measure.savings import saving_facts
from bench3r.models.backbones import load_backbone
from tests.helpers.changed import SIZE, images, method


def test_expert_choice_keeps_its_capacity_and_special_tokens(tiny):
    method("mor", capacity=(1.0, 0.5, 0.5, 0.25)).apply(tiny)
    with torch.inference_mode():
        histogram = tiny.eval()(images(2)).facts["depth_histogram"]
    patches = 2 * 3 * 6 * 8
    assert histogram == [0, patches // 2, 0, patches // 4, patches // 4]


def test_straight_through_gradients_reach_the_router(tiny):
    for name, options in (
        ("spatial_mor", {"balance_weight": 0, "local_balance_weight": 0, "spatial_weight": 0}),
        ("mor", {"aux_weight": 0, "z_weight": 0}),
        ("mor", {"routing": "token_choice", "balance_weight": 0, "z_weight": 0}),
    ):
        model = METHODS.get(name)
        backbone = load_backbone(BuildContext("vggt", "tiny"))
        model(model.Options(**options)).apply(backbone)
        backbone.train()
        backbone.schedule.set_progress(backbone, 1.0)
        out, _ = backbone.run_trunk(images())
        out.taps[3].square().mean().backward()
        router = [p for n, p in backbone.schedule.named_parameters() if "router" in n]
        assert sum(float(p.grad.abs().sum()) for p in router if p.grad is not None) > 0, name


def test_savings_are_predicted_from_the_depths(tiny):
    method("mor").apply(tiny)
    picture = images()
    with torch.inference_mode():
        reported = tiny.eval()(picture).facts
    macs = flops.count_torch(tiny, picture)
    facts = saving_facts(tiny, 3, SIZE, macs, reported)
    assert facts["K"] == 4
    assert facts["m"] == 2.5
    assert facts["rule_saving"] == pytest.approx(facts["f"] * (1 - 2.5 / 4))
    assert facts["predicted_saving"] == pytest.approx(facts["counted_saving"], abs=0.005)


@pytest.mark.parametrize("sharing", ["sequence", "cycle", "middle_cycle"])
@pytest.mark.parametrize("gating", ["residual", "weighted"])
def test_slots_in_sequence_use_the_gates_of_their_own_recursion(sharing, gating):
    """In sequence every slot runs all recursions, so that the first one comes back."""
    model = METHODS.get("mor")
    backbone = load_backbone(BuildContext("vggt", "tiny"))
    options = {"sharing": sharing, "recursions": 2, "max_depth": 2, "gating": gating}
    model(model.Options(**options)).apply(backbone)
    backbone.train()
    out, _ = backbone.run_trunk(images())
    out.taps[3].square().mean().backward()
    for router in backbone.schedule.routers:
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in router.parameters())
