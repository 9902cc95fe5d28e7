"""Long scenes go through in chunks, and nothing but the memory knows of it."""

import pytest
import torch

from bench3r.measure import flops
from bench3r.models import chunks
from bench3r.models.backbones import build_backbone
from bench3r.models.chunks import Joined, in_chunks, tokens_in_chunks

BACKBONES = ("vggt", "pi3", "depth_anything_3")
SOME = 150  # tokens of a chunk: one view of 48 x 64 of the tiny models, and then some


@pytest.fixture(scope="module", params=BACKBONES)
def model(request):
    torch.manual_seed(0)
    return build_backbone(request.param, "tiny").eval()


@pytest.fixture
def images():
    return torch.rand(1, 5, 3, 48, 64, generator=torch.Generator().manual_seed(1))


def split(monkeypatch, tokens=SOME):
    monkeypatch.setattr(chunks, "TOKENS", tokens)


@pytest.mark.parametrize("tokens", [60, SOME])
def test_chunks_change_no_number(model, images, monkeypatch, tokens):
    with torch.inference_mode():
        whole = model(images).tensors()
        split(monkeypatch, tokens)
        parts = model(images).tensors()
    for name, expected in whole.items():
        torch.testing.assert_close(parts[name], expected, atol=1e-5, rtol=1e-5, msg=name)


def test_chunks_change_no_count(model, images, monkeypatch):
    whole, checked = flops.count(model, images), flops.count_torch(model, images)
    split(monkeypatch)
    parts = flops.count(model, images)
    assert parts.macs == whole.macs
    assert flops.parts(model, parts.by_module) == flops.parts(model, whole.by_module)
    assert flops.count_torch(model, images) == checked


def test_nothing_is_split_while_autograd_records(model, images, monkeypatch):
    split(monkeypatch)
    assert chunks.chunk_rows() > 1 << 40
    with torch.no_grad():
        assert chunks.chunk_rows() == SOME
        assert chunks.chunk_rows(70) == 2
    out = model(images)
    out.depth.mean().backward()
    block = model.trunk.global_blocks[0]
    assert block.mlp.fc1.weight.grad.abs().sum() > 0
    model.zero_grad()


def test_small_scenes_are_one_chunk(model):
    config = model.config
    height, width = config.image_size
    patches = (height // config.patch_size) * (width // config.patch_size)
    assert 100 * (patches + 10) < chunks.TOKENS
    assert chunks.TOKENS // (37 * 28 + 5) >= 60  # at the published size, 518 x 392


def test_joined_results_are_made_once():
    x = torch.arange(10.0).view(5, 2)
    with torch.no_grad():
        assert torch.equal(in_chunks(lambda part: 2 * part, x, 2), 2 * x)
        one = Joined(5)
        one.add(x)
        assert one.result() is x
    learnt = x.clone().requires_grad_()
    in_chunks(lambda part: part * part, learnt, 2).sum().backward()
    torch.testing.assert_close(learnt.grad, 2 * x)


def test_tokens_of_any_shape_are_split(monkeypatch):
    split(monkeypatch, 3)
    seen = []

    def run(part):
        seen.append(len(part))
        return part.sum(-1, keepdim=True)

    x = torch.rand(2, 5, 4)
    with torch.no_grad():
        torch.testing.assert_close(tokens_in_chunks(run, x), x.sum(-1, keepdim=True))
    assert seen == [3, 3, 3, 1]


def test_taps_are_kept_in_the_precision_of_the_trunk_unless_something_learns(model, images):
    model.trunk_dtype = torch.bfloat16
    try:
        with torch.inference_mode():
            kept, _ = model.run_trunk(images)
            fitted, _ = model.run_trunk(images, keep_all=True)
        learnt, _ = model.run_trunk(images)
    finally:
        model.trunk_dtype = None
    assert {t.dtype for t in kept.taps.values()} == {torch.bfloat16}
    assert {t.dtype for out in (fitted, learnt) for t in out.taps.values()} == {torch.float32}


def test_the_trunk_does_not_hold_its_first_tokens(model, images):
    with torch.inference_mode():
        inputs = model.trunk.inputs(*model.embed(images), model.taps)
        tokens = inputs.take()
    assert tokens.shape[:2] == images.shape[:2]
    assert inputs.tokens.numel() == 0
