"""Whole predictors: alignment timed by phase, bad input, shipped weights."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from bench3r.api.errors import InvalidPrediction, Unsupported
from bench3r.api.method import METHODS, BuildContext
from bench3r.data.procedural.render import make_scene
from bench3r.models.pair.network import PairNetwork
from bench3r.models.weights import resolve_base
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.sparse_alignment import (
    sparse_align,
)
from tests.helpers.pairs import SIZE, World


def test_nan_is_named_and_one_image_is_refused():
    world = World(2)
    pair = world.pair(0, 1)
    pair.conf2[3, 4] = torch.nan
    with pytest.raises(InvalidPrediction, match=r"images \(0, 1\).*conf2"):
        PairPredictions.of([(0, 1)], [pair])
    predictor = METHODS.get("mast3r")().build(BuildContext("mast3r", "tiny"))
    with pytest.raises(Unsupported, match="two images"):
        predictor(torch.rand(1, 1, 3, *SIZE))


@pytest.mark.parametrize(
    ("name", "images"), [("dust3r", 3), ("mast3r", 3), ("dust3r", 2), ("mast3r", 2)]
)
def test_predictors_align_and_time_their_phases(name, images, monkeypatch):
    """The whole predictor on perfect predictions for pairs."""
    world = World(images, 0.003)
    monkeypatch.setattr(
        PairNetwork, "forward", lambda self, views, edges: [world.pair(i, j) for i, j in edges]
    )
    module = sys.modules[METHODS.get("mast3r").__module__]
    monkeypatch.setattr(module, "pair_matches", lambda one, two, step: None)
    monkeypatch.setattr(
        module, "sparse_align", lambda p, found, options: sparse_align(p, matches, options)
    )
    matches = {(i, j): world.matches(i, j) for i in range(images) for j in range(i + 1, images)}
    predictor = METHODS.get(name)().build(BuildContext(name, "tiny"))
    views = torch.rand(1, images, 3, *SIZE)
    with torch.inference_mode():
        out = predictor(views)
    assert out.problems(views) == []
    torch.testing.assert_close(out.extrinsics[0, 0], torch.eye(4)[:3], atol=1e-4, rtol=0)
    expected = (world.w2c @ world.c2w[:1])[:, :3, :3]
    cosine = ((out.extrinsics[0, :, :, :3].mT @ expected).diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    assert float(cosine.clamp(-1, 1).acos().max().rad2deg()) < 1.5
    assert out.facts["edges"] == images * (images - 1)
    assert out.facts["network_seconds"] > 0
    assert out.facts["alignment_seconds"] > 0
    assert out.facts["alignment_peak_bytes"] > 0
    closed = images == 2
    assert out.facts["alignment"] == (
        "closed form" if closed else {"dust3r": "global", "mast3r": "sparse"}[name]
    )
    assert ("alignment_loss" in out.facts) is not closed


@pytest.mark.parametrize("name", ["dust3r", "mast3r"])
def test_shipped_weights_reconstruct(name):
    """With the weights that ship, a rendered scene beats a constant depth."""
    views = make_scene("room", 200_000_016, 3, (72, 96), 1)[1]
    images = torch.from_numpy(views.images).permute(0, 3, 1, 2)[None].float() / 255
    weights = resolve_base("shipped", name, "tiny", None)
    cls = METHODS.get(name)
    with torch.inference_mode():
        out = cls().build(BuildContext(name, "tiny", weights=weights))(images)
    assert out.problems(images) == []
    known = views.depth > 0
    true = views.depth[known]
    found = out.depth[0].numpy()[known]
    found = found * np.median(true) / np.median(found)
    error = (np.abs(found - true) / true).mean()
    assert error < 0.8 * (np.abs(np.median(true) - true) / true).mean()
    assert out.facts["alignment"] == ("global" if name == "dust3r" else "sparse")
