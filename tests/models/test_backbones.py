"""π³ and Depth-Anything-3: official names, official numbers, counts, properties.

And every method on every backbone.
"""

from __future__ import annotations

import json

import pytest
import torch

from bench3r.api.method import METHODS
from bench3r.measure import flops
from bench3r.models.backbones import build_backbone
from bench3r.models.catalogue import NETWORKS
from bench3r.models.depth_anything_3.network import position_spread, spread_position_table
from bench3r.models.depth_anything_3.start import adapt
from bench3r.models.layers import rope_table
from bench3r.models.pi3.network import nearest_rotation
from bench3r.models.weights import load_strict, read_state_dict, resolve_base
from bench3r.parity.check import check_file
from bench3r.training.transfer import start_from
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "golden"
OTHERS = ("pi3", "depth_anything_3")


@pytest.fixture(scope="module")
def models():
    """Tiny models with random but fixed weights."""
    out = {}
    for name in OTHERS:
        torch.manual_seed(0)
        out[name] = build_backbone(name, "tiny").eval()
    return out


@pytest.mark.parametrize(
    ("official", "backbone", "scale"),
    [
        ("pi3", "pi3", "full"),
        ("da3-large", "depth_anything_3", "full"),
        ("da3-base", "depth_anything_3", "full_base"),
        ("da3-small", "depth_anything_3", "full_small"),
    ],
)
def test_full_size_state_dicts_are_the_official_ones(official, backbone, scale):
    names = json.loads((GOLDEN / "backbone-names.json").read_text())["tensors"][official]
    with torch.device("meta"):
        model = build_backbone(backbone, scale)
    assert {n: list(t.shape) for n, t in model.state_dict().items()} == names


@pytest.mark.parametrize("case", ["pi3-small", "da3-small"])
def test_outputs_equal_the_official_code(case):
    rows, passed = check_file(GOLDEN / f"{case}.json")
    assert passed, [r for r in rows if r[3] == "FAIL"]


def test_positions_go_from_vggts_to_the_published_ones(models):
    torch.testing.assert_close(spread_position_table(3, 4, 1, 32, 1.0), rope_table(3, 4, 1, 32))
    together = spread_position_table(3, 4, 1, 32, 0.0)
    torch.testing.assert_close(together[:, 1:], together[:, 1:2].expand(-1, 12, -1, -1))
    torch.testing.assert_close(together[:, :2], rope_table(1, 1, 1, 32))
    spreads = [position_spread(p, 0.6) for p in (0.0, 0.2, 0.4, 0.6, 1.0)]
    assert spreads == pytest.approx([1, 1, 0.5, 0, 0])
    # a training without a transition starts at the published positions
    assert position_spread(0.0, 0.0) == 0
    images = torch.rand(1, 3, 3, 72, 96)
    model = models["depth_anything_3"]
    with torch.inference_mode():
        published = model(images).depth
        model.trunk.spread = 0.5
        apart = model(images).depth
        model.trunk.spread = 0.0
        torch.testing.assert_close(model(images).depth, published)
    assert (apart - published).abs().max() > 0


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(("frames", "size"), [(1, (72, 96)), (3, (96, 96)), (4, (56, 96))])
def test_three_counts_agree_exactly(models, name, frames, size):
    images = torch.rand(1, frames, 3, *size)
    closed = NETWORKS.get(name).part("macs").cost(models[name].config, frames, size).parts
    counted = flops.count(models[name], images)
    assert counted.macs == flops.count_torch(models[name], images) == sum(closed.values())
    assert flops.parts(models[name], counted.by_module) == {
        k: v for k, v in closed.items() if k != "geometry"
    }


def test_pi3_does_not_care_about_the_order_of_views(models):
    images, order = torch.rand(1, 4, 3, 72, 96), [2, 0, 3, 1]
    with torch.inference_mode():
        a, b = (models["pi3"](x).extras for x in (images, images[:, order]))
    torch.testing.assert_close(a["camera_poses"][:, order], b["camera_poses"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(a["local_points"][:, order], b["local_points"], rtol=1e-4, atol=1e-4)


def test_depth_anything_returns_views_in_the_given_order(models):
    """The reference view is chosen by content, so permuting the views permutes the outputs."""
    images, order = torch.rand(1, 4, 3, 72, 96), [3, 1, 0, 2]
    with torch.inference_mode():
        a, b = models["depth_anything_3"](images), models["depth_anything_3"](images[:, order])
    torch.testing.assert_close(a.depth[:, order], b.depth, rtol=1e-3, atol=1e-4)


def test_nearest_rotation_is_a_rotation_with_a_finite_gradient():
    m = torch.eye(3).repeat(5, 1, 1)
    m[1:] += 0.3 * torch.randn(4, 3, 3)
    m[2, 2] *= -1  # a reflection
    m.requires_grad_()
    r = nearest_rotation(m)
    torch.testing.assert_close(r @ r.mT, torch.eye(3).expand(5, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(r), torch.ones(5))
    (r * torch.randn(3)).sum().backward()
    assert torch.isfinite(m.grad).all()
    assert (
        m.grad[0].abs().sum() > 0
    )  # equal singular values, where the decomposition has no gradient
    with torch.no_grad():
        torch.testing.assert_close(nearest_rotation(m), r)


def test_gradient_of_the_nearest_rotation_by_differences():
    m = (torch.eye(3) + 0.2 * torch.randn(3, 3)).double().requires_grad_()
    assert torch.autograd.gradcheck(nearest_rotation, (m[None],), atol=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_starting_from_vggt_takes_its_encoder_and_trunk(name):
    model = build_backbone(name, "tiny")
    state = read_state_dict(resolve_base("shipped", "vggt", "tiny", None))
    assert start_from(model, "vggt", state) > 150
    block = model.trunk.global_blocks[2]
    torch.testing.assert_close(
        block.attn.qkv.weight, state["aggregator.global_blocks.2.attn.qkv.weight"].float()
    )


def test_the_encoder_meets_the_trunk_at_the_scale_of_a_norm():
    """Scaling a pre-norm stream changes nothing but its size."""
    model = build_backbone("depth_anything_3", "tiny").eval()
    images = torch.rand(2, 2, 3, 72, 96)

    def tokens():
        with torch.no_grad():
            return model.trunk.local((images.flatten(0, 1) - model.image_mean) / model.image_std)[0]

    before = tokens()
    factor = adapt(model, images)
    torch.testing.assert_close(tokens(), factor * before, rtol=1e-3, atol=1e-3)
    assert float(tokens()[:, 1:].std(-1).mean()) == pytest.approx(1, rel=1e-3)


RUNS = {
    "early_exit": {},
    "layer_skip": {},
    "shallow": {"quarters": 2},
    "mor": {},
    "spatial_mor": {},
    "fastvggt": {},
    "avggt": {},
    "block_sparse": {"q_block": 32, "k_block": 16},
    "spark3r": {"query_factor": 2},
    "lite3r": {"block": 16},
    "vgg_t3": {},
}


@pytest.mark.parametrize("method", RUNS)
@pytest.mark.parametrize("name", OTHERS)
def test_every_method_runs_on_every_backbone_and_is_counted(name, method):
    torch.manual_seed(0)
    model = build_backbone(name, "tiny").eval()
    cls = METHODS.get(method)
    instance = cls(cls.Options(**RUNS[method]))
    instance.apply(model)
    instance.deploy(model)
    images = torch.rand(1, 4, 3, 72, 96)
    with torch.inference_mode():
        assert model.eval()(images).problems(images) == []
    assert flops.count(model, images).macs == flops.count_torch(model, images)


@pytest.mark.parametrize("name", OTHERS)
def test_shipped_bases_load_strictly_and_reconstruct(name):
    model = build_backbone(name, "tiny").eval()
    load_strict(model, read_state_dict(resolve_base("shipped", name, "tiny", None)), name)
    images = torch.rand(1, 3, 3, 72, 96)
    with torch.inference_mode():
        assert model(images).problems(images) == []
