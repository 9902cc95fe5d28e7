"""Rungs of the ladder: what each changes of a backbone, and what a device cannot run."""

from __future__ import annotations

import pytest
import torch

from bench3r.measure import ladder
from bench3r.measure.ladder import inputs_on, on_rung, put_on, why_unsupported
from bench3r.measure.rungs import SETUPS, Rung, rung_of_run
from bench3r.models.backbones import build_backbone

BACKBONES = ("vggt", "pi3", "depth_anything_3")
LOW = (Rung.AUTOCAST_BF16, Rung.BF16_WEIGHTS, Rung.AUTOCAST_FP16, Rung.FP16_WEIGHTS)


def ran(backbone: str, rung: Rung, of_run: torch.dtype | None = None) -> torch.Tensor:
    """The depth that ``backbone`` gives on ``rung`` for two views, in a run of precision."""
    torch.manual_seed(0)
    model = build_backbone(backbone, "tiny").eval()
    model.trunk_dtype = of_run
    side = 4 * model.trunk.patch_size
    images = torch.rand(1, 2, 3, side, side)
    put_on(model, rung)
    (given,) = inputs_on(rung, [images])
    with torch.inference_mode():
        return model(given).depth


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_stands_on_every_rung(backbone):
    plain = ran(backbone, Rung.FP32)
    for rung in LOW:
        depth = ran(backbone, rung)
        assert depth.dtype == torch.float32, rung
        assert torch.allclose(depth, plain, rtol=0.05, atol=0.05), rung
        assert not torch.equal(depth, plain), rung


def test_a_rung_is_the_same_whatever_the_precision_of_the_run():
    """In a bf16 run the rung fp32 ran in bf16."""
    for rung in (Rung.FP32, *LOW):
        assert torch.equal(ran("vggt", rung, torch.bfloat16), ran("vggt", rung)), rung


@pytest.mark.slow
def test_blocks_are_compiled():
    plain = ran("vggt", Rung.FP32)
    torch.testing.assert_close(ran("vggt", Rung.FP32_COMPILED), plain, rtol=1e-3, atol=1e-3)


def test_heads_stay_in_fp32():
    model = build_backbone("vggt", "tiny")
    put_on(model, Rung.BF16_WEIGHTS)
    kinds = {name: p.dtype for name, p in model.named_parameters()}
    lowered = {name for name, dtype in kinds.items() if dtype == torch.bfloat16}
    assert lowered == {name for name in kinds if name.startswith("aggregator.")}


def test_what_a_rung_means():
    assert {SETUPS[rung].low for rung in Rung} == {None, "bf16", "fp16"}
    assert len({setup.label for setup in SETUPS.values()}) == len(Rung)
    assert (rung_of_run("fp32"), rung_of_run("bf16")) == (Rung.FP32, Rung.AUTOCAST_BF16)


def test_a_rung_that_the_device_lacks_has_a_reason(monkeypatch):
    assert why_unsupported(Rung.FP32_TF32, "cpu") == "a CPU has no TF32"
    assert why_unsupported(Rung.BF16_WEIGHTS, "cpu") == ""
    monkeypatch.setattr(ladder.shutil, "which", lambda name: None)
    assert "needs a C++ compiler" in why_unsupported(Rung.FP32_COMPILED, "cpu")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 0))
    assert "V100 (compute capability 7.0) has no bf16" in why_unsupported(LOW[0], "cuda")
    assert "has no TF32" in why_unsupported(Rung.FP32_TF32, "cuda")
    assert why_unsupported(Rung.AUTOCAST_FP16, "cuda") == ""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    assert why_unsupported(Rung.BF16_WEIGHTS, "cuda") == ""


def test_tf32_flags_are_given_back():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32)
    seen = on_rung(Rung.FP32_TF32, lambda: (matmul.allow_tf32, cudnn.allow_tf32))()
    assert seen == (True, True)
    assert on_rung(Rung.FP32, lambda: (matmul.allow_tf32, cudnn.allow_tf32))() == before
    assert (matmul.allow_tf32, cudnn.allow_tf32) == before
