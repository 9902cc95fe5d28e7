"""Networks for pairs of images: official parameters, MACs, mixed sizes, loading of weights."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench3r.api.errors import Bench3RError
from bench3r.measure import flops
from bench3r.models.backbones import build_backbone
from bench3r.models.pair.config import DUST3R_VARIANTS, PairConfig
from bench3r.models.pair.macs import pair_macs
from bench3r.models.pair.network import PairNetwork, PairPass
from bench3r.models.weights import load_strict, read_state_dict, save_safetensors
from bench3r.pairwise.graph import scene_graph
from tests.conftest import GOLDEN
from tests.helpers.pairs import SIZE


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return {name: build_backbone(name, "tiny").eval() for name in ("dust3r", "mast3r")}


@pytest.mark.parametrize(
    ("official", "config"),
    [
        ("dust3r-vitl-512-dpt", PairConfig()),
        ("dust3r-vitl-512-linear", DUST3R_VARIANTS["512_linear"]()),
        ("mast3r-vitl-512-catmlpdpt", PairConfig(descriptors=24)),
    ],
)
def test_full_size_state_dicts_are_the_official_ones(official, config):
    names = json.loads((GOLDEN / "backbone-names.json").read_text())["tensors"][official]
    with torch.device("meta"):
        model = PairNetwork(config)
    assert {n: list(t.shape) for n, t in model.state_dict().items()} == names


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="heads"):
        PairNetwork(PairConfig(enc_embed_dim=100, enc_num_heads=3))
    with pytest.raises(ValueError, match="dec_depth"):
        PairNetwork(PairConfig(dec_depth=2))
    with pytest.raises(ValueError, match="multiples of 8"):
        build_backbone("dust3r", "tiny").encode(torch.rand(1, 3, 50, 64))


@pytest.mark.parametrize("name", ["dust3r", "mast3r"])
@pytest.mark.parametrize(("images", "size"), [(2, (48, 64)), (3, (56, 40))])
def test_three_counts_agree_exactly(networks, name, images, size):
    edges = scene_graph(images)
    whole, views = PairPass(networks[name], edges), torch.rand(1, images, 3, *size)
    counted = flops.count(whole, views)
    closed = pair_macs(networks[name].config, images, len(edges), size)
    assert counted.macs == flops.count_torch(whole, views) == sum(closed.values())
    assert flops.parts(whole, counted.by_module) == closed
    assert sum(flops.parameter_parts(whole).values()) == sum(
        p.numel() for p in networks[name].parameters()
    )


def test_linear_head_is_counted():
    model = PairNetwork(
        PairConfig(
            patch_size=8,
            enc_embed_dim=48,
            enc_depth=1,
            enc_num_heads=3,
            dec_embed_dim=48,
            dec_depth=2,
            dec_num_heads=3,
            head="linear",
        )
    )
    assert flops.count(PairPass(model, [(0, 1)]), torch.rand(1, 2, 3, 16, 24)).macs == sum(
        pair_macs(model.config, 2, 1, (16, 24)).values()
    )


def test_every_image_is_encoded_once(networks, monkeypatch):
    seen = []
    encode = PairNetwork.encode
    monkeypatch.setattr(
        PairNetwork, "encode", lambda self, x: seen.append(len(x)) or encode(self, x)
    )
    with torch.inference_mode():
        networks["dust3r"](torch.rand(5, 3, 16, 24), scene_graph(5))
    assert sum(seen) == 5


def test_mixed_sizes_and_orientations_give_what_each_pair_gives_alone(networks):
    torch.manual_seed(1)
    images = [torch.rand(3, *s) for s in ((32, 48), (48, 32), (32, 48), (40, 40))]
    edges = scene_graph(4)
    with torch.inference_mode():
        together = networks["dust3r"](images, edges)
        for edge, found in zip(edges, together, strict=True):
            alone = networks["dust3r"]([images[edge[0]], images[edge[1]]], [(0, 1)])[0]
            assert found.points1.shape == (*images[edge[0]].shape[1:], 3)
            assert found.conf2.shape == images[edge[1]].shape[1:]
            torch.testing.assert_close(found.points2, alone.points2, rtol=1e-4, atol=1e-5)


def test_network_is_deterministic_and_finite_under_bfloat16(networks):
    model = build_backbone("mast3r", "tiny").eval()
    model.load_state_dict(networks["mast3r"].state_dict())
    images = torch.rand(2, 3, *SIZE)
    with torch.inference_mode():
        exact = model(images, [(0, 1)])[0]
        model.trunk_dtype = torch.bfloat16
        half = model(images, [(0, 1)])[0]
    assert half.points1.dtype == torch.float32
    assert np.isfinite(half.points1.numpy()).all()
    torch.testing.assert_close(half.points1, exact.points1, rtol=0.2, atol=0.05)


def test_official_files_load_without_unpickling_more_than_their_arguments(tmp_path, networks):
    state = networks["dust3r"].state_dict()
    torch.save(
        {"args": Namespace(model="AsymmetricCroCo3DStereo()", lr=0.1), "model": state},
        tmp_path / "official.pth",
    )
    again = build_backbone("dust3r", "tiny")
    load_strict(again, read_state_dict(tmp_path / "official.pth"), "official.pth")
    torch.testing.assert_close(again.enc_norm.weight, networks["dust3r"].enc_norm.weight)
    torch.save({"args": Namespace(model=Path("x")), "model": state}, tmp_path / "other.pth")
    with pytest.raises(Bench3RError, match="refused"):
        read_state_dict(tmp_path / "other.pth")


def test_shared_tensors_load_under_either_name(tmp_path, networks):
    state = {k: v.clone() for k, v in networks["dust3r"].state_dict().items()}
    marked = torch.full_like(state["downstream_head1.dpt.scratch.layer1_rn.weight"], 0.25)
    for dropped, kept in (("layer1_rn", "layer_rn.0"), ("layer_rn.0", "layer1_rn")):
        part = {
            k: v for k, v in state.items() if k != f"downstream_head1.dpt.scratch.{dropped}.weight"
        }
        part[f"downstream_head1.dpt.scratch.{kept}.weight"] = marked
        save_safetensors(tmp_path / "hub.safetensors", part)
        model = build_backbone("dust3r", "tiny")
        load_strict(model, read_state_dict(tmp_path / "hub.safetensors"), "hub")
        torch.testing.assert_close(
            model.downstream_head1.dpt.scratch.layer_rn[0].weight.data, marked
        )


def test_croco_weights_get_a_second_decoder(networks):
    state = {
        k: v for k, v in networks["dust3r"].state_dict().items() if not k.startswith("dec_blocks2")
    }
    state["prediction_head.weight"] = torch.zeros(3)
    model = build_backbone("dust3r", "tiny")
    load_strict(model, state, "croco")
    torch.testing.assert_close(
        model.dec_blocks2[1].mlp.fc1.weight, model.dec_blocks[1].mlp.fc1.weight
    )
    with pytest.raises(Bench3RError, match="missing"):
        load_strict(model, {k: v for k, v in state.items() if "enc_norm" not in k}, "croco")
