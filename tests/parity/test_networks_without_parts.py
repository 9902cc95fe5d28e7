"""Networks whose configuration leaves norms, rotary position or scales out."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench3r.models.depth_anything_3.network import AlternatingDino
from bench3r.models.vggt.config import VGGTConfig
from bench3r.models.vggt.network import VGGT
from bench3r.parity.checks.depth_anything_3 import Config
from bench3r.parity.weights import build_network, fill_value, random_images
from tests.helpers.golden_copy import Planted


def plain_block(x, name, heads):
    """A pre-norm block on tokens ``x`` [n, L, C] without norms in attention, position or scales.

    Weights are drawn by their names, as the files say.
    """
    width = x.shape[-1]

    def linear(x, layer, out, dim):
        weight = fill_value(f"{name}.{layer}.weight", (out, dim))
        return F.linear(x, weight, fill_value(f"{name}.{layer}.bias", (out,)))

    def normed(x, layer):
        parts = [fill_value(f"{name}.{layer}.{p}", (width,)) for p in ("weight", "bias")]
        return F.layer_norm(x, (width,), *parts, 1e-5)

    qkv = linear(normed(x, "norm1"), "attn.qkv", 3 * width, width)
    q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    mixed = ((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
    x = x + linear(mixed, "attn.proj", width, width)
    hidden = F.gelu(linear(normed(x, "norm2"), "mlp.fc1", 4 * width, width))
    return x + linear(hidden, "mlp.fc2", width, 4 * width)


def test_a_trunk_without_norms_position_and_scales(tmp_path):
    planted = Planted("vggt-tiny", tmp_path)
    absent = {"qk_norm": None, "rope_freq": None, "init_values": None}
    planted.raw["config"]["aggregator"] |= absent
    gone = re.compile(r"aggregator\.(frame|global)_blocks\.\d+\.(attn\.[qk]_norm|ls[12])\.")
    tensors = planted.raw["tensors"].items()
    planted.raw["tensors"] = {k: v for k, v in tensors if not gone.match(k)}
    found = planted.computed()

    parts = {k: v for k, v in planted.raw["config"].items() if k in VGGTConfig.model_fields}
    parts["aggregator"] |= {"qk_norm": False, "rope_freq": -1.0}
    model = build_network(VGGT, lambda: VGGTConfig.model_validate(parts), planted.read())
    with torch.no_grad():
        tokens, _ = model.aggregator.embed(random_images(1, 3, 3, 56, 70))
        frame = plain_block(tokens[0], "aggregator.frame_blocks.0", 6)
        joint = plain_block(frame.flatten(0, 1)[None], "aggregator.global_blocks.0", 6)
    both = torch.cat([frame, joint.unflatten(1, (3, -1))[0]], -1)[:, :8, ::16]
    np.testing.assert_allclose(found["tokens_L0_sub"][0], both, rtol=1e-3, atol=1e-4)


def test_a_network_without_tracker(tmp_path):
    planted = Planted("vggt-tiny", tmp_path)
    planted.raw["config"]["track"] = None
    tensors = planted.raw["tensors"].items()
    planted.raw["tensors"] = {k: v for k, v in tensors if not k.startswith("track_head.")}
    found = planted.computed()
    assert "track" not in found
    np.testing.assert_allclose(found["depth"], planted.arrays["depth"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norms", [-1, 6])
@pytest.mark.parametrize("rope", [-1, 4])
def test_a_trunk_with_the_named_norms_and_position(tmp_path, norms, rope):
    planted = Planted("da3-small", tmp_path)
    planted.raw["config"]["net"] |= {"qknorm_start": norms, "rope_start": rope}
    network = Config.model_validate(planted.raw["config"]).network()
    network.check()
    with torch.device("meta"):
        trunk = AlternatingDino(network.net)
    normed = [not isinstance(b.attn.q_norm, torch.nn.Identity) for b in trunk.blocks]
    assert normed == [0 <= norms <= i for i in range(12)]
    assert (trunk.rope_freq > 0) == (rope == 4)
