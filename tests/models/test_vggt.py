"""VGGT: official names, official numbers, hooks, and the work it must not do."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from bench3r.api.errors import Bench3RError
from bench3r.models.layers import SoftmaxCore, attention_modules
from bench3r.models.trunk import Schedule, TrunkOutput
from bench3r.models.vggt.config import VGGT_SCALES, VGGTConfig
from bench3r.models.vggt.network import VGGT
from bench3r.models.vggt.preprocess import load_and_preprocess
from bench3r.models.weights import load_strict, read_state_dict, save_safetensors
from bench3r.parity.check import check_file
from tests.conftest import GOLDEN


def test_full_size_state_dict_is_the_official_one():
    official = json.loads((GOLDEN / "vggt-1b-names.json").read_text())
    with torch.device("meta"):
        model = VGGT()
    assert {n: list(t.shape) for n, t in model.state_dict().items()} == official["tensors"]
    assert sum(p.numel() for p in model.parameters()) == official["total_params"]


def test_outputs_equal_the_official_code():
    rows, passed = check_file(GOLDEN / "vggt-tiny.json")
    assert passed
    assert {r[0] for r in rows if r[3] == "pass"} >= {
        "pose_enc",
        "depth",
        "world_points",
        "track",
        "vis",
        "conf",
    }


def test_scenes_of_a_batch_do_not_influence_each_other(tiny):
    images = torch.rand(2, 3, 3, 72, 96)
    with torch.inference_mode():
        both, second = tiny(images), tiny(images[1:])
    torch.testing.assert_close(both.depth[1:], second.depth, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(both.extrinsics[1:], second.extrinsics, atol=1e-5, rtol=1e-5)


def test_views_after_the_first_are_interchangeable(tiny):
    images = torch.rand(1, 4, 3, 72, 96)
    order = [0, 3, 1, 2]
    with torch.inference_mode():
        a, b = tiny(images), tiny(images[:, order])
    torch.testing.assert_close(a.depth[:, order], b.depth, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_heads_in_chunks_give_the_same(tiny, chunk):
    images = torch.rand(1, 5, 3, 96, 72)
    with torch.inference_mode():
        tiny.head_chunk = 5
        whole = tiny(images)
        tiny.head_chunk = chunk
        parts = tiny(images)
    torch.testing.assert_close(whole.depth, parts.depth, atol=1e-6, rtol=1e-6)


def test_gradients_and_inference_agree(tiny):
    images = torch.rand(1, 2, 3, 72, 96)
    trained = tiny(images)
    with torch.inference_mode():
        inferred = tiny(images)
    torch.testing.assert_close(
        trained.world_points.detach(), inferred.world_points, atol=1e-6, rtol=1e-6
    )


def test_only_tapped_layers_are_kept(tiny):
    out, _ = tiny.run_trunk(torch.rand(1, 2, 3, 72, 96))
    assert sorted(out.taps) == list(tiny.taps)


class EverySecondPatch(Schedule):
    """Runs all pairs on the special tokens and every second patch only: gather, compute, scatter."""

    def forward(self, trunk, inputs):
        x, special = inputs.tokens, inputs.layout.special
        b, s, t, _ = x.shape
        keep = torch.cat([torch.arange(special), torch.arange(special, t, 2)])
        layout, rope = inputs.layout.subset(keep[None]), inputs.rope[:, keep]
        taps = {}
        for i in range(trunk.depth):
            part = trunk.frame_blocks[i](x[:, :, keep].flatten(0, 1), rope, layout).unflatten(
                0, (b, s)
            )
            after = x.clone()
            after[:, :, keep] = part
            joint = trunk.global_blocks[i](part.flatten(1, 2), rope.repeat(1, s, 1, 1), layout)
            x = after.clone()
            x[:, :, keep] = joint.unflatten(1, (s, -1))
            taps[i] = torch.cat([after, x], -1)
        return TrunkOutput(taps, torch.ones(b, s, inputs.layout.height, inputs.layout.width))


def test_schedule_hook_runs_a_subset_for_less(tiny):
    from bench3r.measure.flops import count

    images = torch.rand(1, 3, 3, 96, 96)
    dense = count(tiny, images)
    tiny.schedule = EverySecondPatch()
    thin = count(tiny, images)
    assert (
        thin.by_module["aggregator.global_blocks"]
        < 0.5 * dense.by_module["aggregator.global_blocks"]
    )
    with torch.inference_mode():
        out = tiny(images)
    assert out.problems(images) == []
    assert out.recursion_depth.shape == (1, 3, 12, 12)


class Recording(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, q, k, v, layout=None):
        self.calls.append((q.shape, layout))
        return SoftmaxCore()(q, k, v, layout)


def test_attention_hook_by_role(tiny):
    images = torch.rand(1, 3, 3, 72, 96)
    with torch.inference_mode():
        before = tiny(images)
    core = Recording()
    for _, module in attention_modules(tiny, "global"):
        module.core = core
    with torch.inference_mode():
        after = tiny(images)
    assert len(core.calls) == tiny.aggregator.depth
    shape, layout = core.calls[0]
    assert shape[2] == 3 * layout.tokens_per_view
    torch.testing.assert_close(before.depth, after.depth)
    with pytest.raises(ValueError, match="unknown attention role"):
        attention_modules(tiny, "globall")


@pytest.mark.parametrize("scale", ["tiny", "paper"])
def test_scales_are_configurations_of_one_class(scale):
    with torch.device("meta"):
        model = VGGT(VGGT_SCALES[scale]())
    assert model.taps[-1] == model.aggregator.depth - 1


@pytest.mark.parametrize(
    "shape", [(1, 3, 72, 96), (1, 2, 3, 70, 96), (1, 2, 1, 72, 96), (1, 0, 3, 72, 96)]
)
def test_wrong_image_shapes_are_refused(tiny, shape):
    with pytest.raises(ValueError, match=r"images must be|multiples"):
        tiny(torch.rand(shape))


def test_configuration_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="tap pair 23"):
        VGGT(VGGTConfig.model_validate({"aggregator": {"depth": 4}}))
    with pytest.raises(ValueError, match="unknown"):
        VGGT(VGGTConfig.model_validate({"aggregator": {"patch_embed": "resnet"}}))


def test_bf16_trunk_keeps_float32_outputs(tiny):
    tiny.trunk_dtype = torch.bfloat16
    with torch.inference_mode():
        out = tiny(torch.rand(1, 2, 3, 72, 96))
    assert out.depth.dtype == torch.float32


def test_strict_loading_names_every_difference(tiny, tmp_path):
    state = tiny.state_dict()
    name = "depth_head.scratch.output_conv1.weight"
    wrong = {k: v for k, v in state.items() if not k.startswith("camera_head.token_norm")}
    wrong |= {"surprise": torch.zeros(1), name: torch.zeros(1)}
    save_safetensors(tmp_path / "w.safetensors", wrong)
    with pytest.raises(Bench3RError) as error:
        load_strict(tiny, read_state_dict(tmp_path / "w.safetensors"), "w.safetensors")
    text = str(error.value)
    assert "2 missing: camera_head.token_norm.bias, camera_head.token_norm.weight" in text
    assert "1 extra: surprise" in text
    assert f"1 mis-shaped: {name}" in text


def test_pickled_objects_are_refused(tmp_path):
    class Payload:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"model": Payload()}, tmp_path / "bad.pt")
    with pytest.raises(Bench3RError, match="refused"):
        read_state_dict(tmp_path / "bad.pt")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(Bench3RError, match="damaged"):
        read_state_dict(tmp_path / "cut.safetensors")
    with pytest.raises(Bench3RError, match="no such"):
        read_state_dict(tmp_path / "none.pt")


def test_official_preprocessing(tmp_path, rng):
    from PIL import Image

    for name, size in (("a.png", (640, 480)), ("b.png", (300, 600))):
        Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(
            tmp_path / name
        )
    assert load_and_preprocess([tmp_path / "a.png"]).shape == (1, 3, 392, 518)
    assert load_and_preprocess([tmp_path / "b.png"]).shape == (
        1,
        3,
        518,
        518,
    )  # 1036 rows, centre-cropped
    padded = load_and_preprocess([tmp_path / "a.png"], "pad")
    assert padded.shape == (1, 3, 518, 518)
    assert (padded[:, :, :63] == 1).all()
    assert (padded[:, :, -63:] == 1).all()
    both = load_and_preprocess([tmp_path / "a.png", tmp_path / "b.png"])
    assert both.shape == (2, 3, 518, 518)
    assert (both[0, :, :63] == 1).all()
    rgba = np.zeros((28, 28, 4), np.uint8)
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    assert (load_and_preprocess([tmp_path / "clear.png"], width=28) == 1).all()
    with pytest.raises(Bench3RError, match="mode"):
        load_and_preprocess([tmp_path / "a.png"], "squash")


def test_tracks_of_a_batch_are_independent_and_start_at_the_query(tiny):
    images, queries = torch.rand(2, 3, 3, 72, 96), torch.rand(2, 5, 2) * torch.tensor([95.0, 71.0])
    with torch.inference_mode():
        both, second = tiny(images, queries), tiny(images[1:], queries[1:])
    torch.testing.assert_close(both.tracks[1:], second.tracks, atol=1e-3, rtol=0)
    torch.testing.assert_close(both.tracks[:, 0], queries, atol=1e-4, rtol=0)
    assert both.visibility.shape == (2, 3, 5)
    tiny.track_head.tracker.levels = 7
    with pytest.raises(ValueError, match="at least 128 pixels a side, got 72 x 96"):
        tiny(images, queries)
