"""Early exit, layer skip, shallow, MoR and SpatialMoR: what they promise, on a tiny VGGT."""

from __future__ import annotations

import itertools

import pytest
import torch
from pydantic import ValidationError

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS, BuildContext
from bench3r.measure import flops
from bench3r.measure.savings import saving_facts
from bench3r.models.backbones import build_predictor, load_backbone
from bench3r.models.weights import SHIPPED
from bench3r.parity.check import check_file
from bench3r.recursion.depth import neighbour_differences
from bench3r.run.config import parse_config
from bench3r.run.plan import make_plan
from bench3r.stages.train import finetune, fit_scenes
from bench3r.training.config import FinetuneConfig
from tests.conftest import GOLDEN

SIZE = (48, 64)
WEIGHTS = SHIPPED / "vggt-tiny.safetensors"
VARIANTS = [
    ("early_exit", {}),
    ("early_exit", {"criterion": "saturation"}),
    ("early_exit", {"criterion": "learned"}),
    ("early_exit", {"measure": "pose"}),
    ("layer_skip", {}),
    ("shallow", {"quarters": 2}),
    ("mor", {}),
    ("mor", {"routing": "token_choice", "activation": "softmax", "alpha": 1.0}),
    ("mor", {"caching": "recursive_sharing"}),
    ("mor", {"caching": "latest", "gating": "weighted"}),
    (
        "mor",
        {"sharing": "middle_cycle", "recursions": 2, "max_depth": 2, "initialisation": "stepwise"},
    ),
    ("spatial_mor", {}),
    ("spatial_mor", {"routing": "region_guided", "regions": 8}),
    ("spatial_mor", {"caching": "region_coherent", "regions": 8}),
    ("spatial_mor", {"neighbourhood": 5, "max_depth": 2}),
    ("spatial_mor", {"patch_sizing": "adaptive", "caching": "recursion_wise"}),
]


def method(name: str, **options):
    cls = METHODS.get(name)
    return cls(cls.Options(**options))


def module(name: str):
    return METHODS.module(METHODS.files()[name])


def images(scenes: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand(scenes, 3, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("case", sorted(p.stem for p in GOLDEN.glob("mor_*.json")))
def test_parity_with_the_official_routers_gates_and_losses(case):
    rows, passed = check_file(GOLDEN / f"{case}.json")
    assert passed, [r for r in rows if r[-1] == "FAIL"]
    assert sum(r[-1] == "pass" for r in rows) >= 5


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_counted_flops_agree_and_outputs_are_sound(tiny, name, options):
    """fvcore equals torch's counter for what really ran, also where the content decides."""
    chosen = method(name, **options)
    chosen.check("vggt", "tiny")
    chosen.apply(tiny)
    tiny.eval()
    picture = images()
    with torch.inference_mode():
        out = tiny(picture)
    assert out.problems(picture) == []
    assert flops.count(tiny, picture).macs == flops.count_torch(tiny, picture)


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
        assert out.extras["violations"] == 0
        raw.append(out.extras["violations_before"])
    assert max(raw) > 0


def test_lipschitz_can_be_turned_off(tiny):
    method("spatial_mor", lipschitz=False).apply(tiny)
    torch.nn.init.normal_(tiny.schedule.router.fc2.weight, std=30)
    with torch.inference_mode():
        out = tiny.eval()(images())
    assert out.extras["violations"] == out.extras["violations_before"] > 0


def test_a_collapsed_router_is_reported(tiny):
    method("spatial_mor").apply(tiny)
    torch.nn.init.zeros_(tiny.schedule.router.fc2.weight)
    tiny.schedule.router.fc2.bias.data = torch.tensor([0.0, 9, 0, 0])
    with torch.inference_mode():
        extras = tiny.eval()(images()).extras
    assert extras["collapsed"]
    assert extras["depth_histogram"][2] == sum(extras["depth_histogram"])


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


def test_expert_choice_keeps_its_capacity_and_special_tokens(tiny):
    method("mor", capacity=(1.0, 0.5, 0.5, 0.25)).apply(tiny)
    with torch.inference_mode():
        histogram = tiny.eval()(images(2)).extras["depth_histogram"]
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


@pytest.mark.parametrize("name", ["early_exit", "layer_skip"])
def test_closed_form_methods_fit_and_report(name, tmp_path):
    chosen = method(name)
    context = BuildContext("vggt", "tiny", weights=WEIGHTS)
    learned = chosen.fit(fit_scenes(6, SIZE, 3), context)
    from bench3r.models.weights import save_safetensors

    save_safetensors(tmp_path / "fitted.safetensors", learned)
    predictor = build_predictor(
        chosen,
        BuildContext("vggt", "tiny", weights=WEIGHTS, fitted=tmp_path / "fitted.safetensors"),
    )
    with torch.inference_mode():
        out = predictor(images())
    key = "exit_layer" if name == "early_exit" else "skipped_pairs"
    assert out.extras[key] in (2, 3, 4) or out.extras[key] == [1]


def test_recovered_output_is_closer_than_repeating():
    """The linear map beats the identity on scenes that it was not fitted on."""
    context = BuildContext("vggt", "tiny", weights=WEIGHTS)
    model = load_backbone(context)
    learned = method("layer_skip", start=2, count=1).fit(fit_scenes(40, SIZE, 3), context)
    weight, bias = (learned[f"schedule.recoveries.2.patch_map.{k}"] for k in ("weight", "bias"))
    ratios = []
    for scene in itertools.islice(fit_scenes(46, SIZE, 3), 40, 46):
        picture = torch.from_numpy(scene.images).permute(0, 3, 1, 2)[None].float() / 255
        with torch.no_grad():
            taps = model.run_trunk(picture, keep_all=True)[0].taps
        x, y = taps[1][:, :, 5:], taps[2][:, :, 5:]
        ratios.append(float((x @ weight.mT + bias - y).norm() / (x - y).norm()))
    assert sum(ratios) / len(ratios) < 0.7
    assert max(ratios) < 1


def test_early_exit_obeys_its_threshold(tiny):
    never, always = (
        method("early_exit", threshold=1e-9),
        method("early_exit", criterion="saturation", threshold=9.0),
    )
    never.apply(tiny)
    assert tiny.eval()(images()).extras["exit_layer"] == 4
    always.apply(tiny)
    assert tiny.eval()(images()).extras["exit_layer"] == 2


@pytest.mark.parametrize("name", ["mor", "spatial_mor", "shallow"])
def test_finetuning_starts_from_the_base_and_learns(name, tmp_path):
    config = FinetuneConfig(
        steps=4, frames_per_batch=4, view_counts=(2,), heights=(72,), queries=4, reuse=12
    )
    trainer = finetune(
        method(name), BuildContext("vggt", "tiny", weights=WEIGHTS), config, tmp_path
    )
    assert trainer.step == 4
    header = (tmp_path / "curve.csv").read_text().splitlines()[0].split(",")
    if name != "shallow":
        assert {"mean_depth", "share_1", "share_2"} <= set(header)
    if name == "spatial_mor":
        assert {"balance", "local_balance", "spatial"} <= set(header)


def test_savings_are_predicted_from_the_depths(tiny):
    method("mor").apply(tiny)
    picture = images()
    with torch.inference_mode():
        extras = tiny.eval()(picture).extras
    macs = flops.count_torch(tiny, picture)
    facts = saving_facts(tiny, 3, SIZE, macs, extras)
    assert facts["K"] == 4
    assert facts["m"] == 2.5
    assert facts["rule_saving"] == pytest.approx(facts["f"] * (1 - 2.5 / 4))
    assert facts["predicted_saving"] == pytest.approx(facts["counted_saving"], abs=0.005)


BAD = [
    ({"spatial_mor": {"max_depth": 0}}, "max_depth"),
    ({"mor": {"max_depth": 5}}, "exceeds recursions 4"),
    ({"mor": {"capacity": [[0.5, 0.6, 0.3, 0.1]]}}, "must not grow"),
    ({"mor": {"capacity": [[1.0, 0.5]]}}, "expected one for each of 4"),
    (
        {"mor": {"capacity": [[0.5, 0.5, 0.5, 0.5]], "caching": "latest"}},
        "capacity\\[0\\] must be 1",
    ),
    ({"spatial_mor": {"regions": 500}}, "only|an image has 108 patches"),
    ({"spatial_mor": {"alpha": 1.5}}, "alpha"),
    ({"spatial_mor": {"beta": -0.1}}, "beta"),
    ({"spatial_mor": {"neighbourhood": 4}}, "odd"),
    ({"spatial_mor": {"patch_sizing": "adaptive"}}, "needs caching recursion_wise"),
    ({"early_exit": {"exits": [[2, 9]]}}, "has 4 pairs"),
    ({"early_exit": {"exits": [[3, 2]]}}, "ascending"),
    ({"layer_skip": {"start": 2, "count": 4}}, "has pairs 0 to 3"),
    ({"mor": {"recursions": 3, "max_depth": 3}}, "no multiple of 3"),
    ({"mor": {"sharing": "middle_cycle"}}, "middle_cycle"),
]


@pytest.mark.parametrize(("methods", "message"), BAD)
def test_bad_settings_stop_at_planning(methods, message):
    raw = {
        "name": "x",
        "methods": methods,
        "datasets": {"scannet": {"root": "procedural", "views": 4}},
    }
    with pytest.raises((Bench3RError, ValidationError), match=message):
        make_plan(parse_config(raw, "test"))


def test_a_backbone_without_the_hook_is_refused(monkeypatch):
    from dataclasses import replace

    from bench3r.models import vggt

    monkeypatch.setattr(vggt, "NETWORK", replace(vggt.NETWORK, hooks=("attention",)))
    raw = {
        "name": "x",
        "methods": {"mor": {}},
        "datasets": {"scannet": {"root": "procedural", "views": 4}},
    }
    with pytest.raises(Bench3RError, match="vggt has no schedule hook"):
        make_plan(parse_config(raw, "test"))
