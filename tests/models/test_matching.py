"""Guidance of attention: targets lie on the same surface, and attention learns to look there."""

from __future__ import annotations

import numpy as np
import torch

from bench3r.models.losses import Batch
from bench3r.models.matching import matching_loss, patch_targets, record_middle
from tests.helpers.training import stream


def plane_batch(shift_patches: float) -> Batch:
    """Two views of a wall at depth 2; the second camera is moved right by so many 8-px patches."""
    side = 48
    depth = 2.0
    focal = 60.0
    k = torch.tensor([[focal, 0, 23.5], [0, focal, 23.5], [0, 0, 1]]).expand(1, 2, 3, 3)
    extrinsics = torch.eye(4)[:3].repeat(1, 2, 1, 1)
    extrinsics[0, 1, 0, 3] = -shift_patches * 8 * depth / focal
    maps = torch.full((1, 2, side, side), depth)
    empty = torch.zeros(1, 2, 1, 2)
    images = torch.rand(1, 2, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Batch(
        images=images,
        depth=maps,
        extrinsics=extrinsics,
        intrinsics=k,
        points=torch.zeros(1, 2, side, side, 3),
        queries=empty[:, 0],
        tracks=empty,
        visible=empty[..., 0] > 0,
        tracked=empty[..., 0] > 0,
    )


def test_patch_targets_point_at_the_same_surface():
    weights, seen = patch_targets(plane_batch(1.0), (6, 6))
    first_to_second = weights[0, 0, :, 1]  # [P, P]
    patches = torch.arange(36)
    inner = patches[patches % 6 > 0]
    assert (first_to_second[inner].argmax(-1) == inner - 1).all()
    assert not seen[0, 0, patches % 6 == 0, 1].any()  # they left the image
    assert not seen[0, 0, :, 0].any()
    assert float(weights[0, 0, :, 0].abs().max()) == 0
    torch.testing.assert_close(
        first_to_second[inner].sum(-1), torch.ones(len(inner)), atol=0.02, rtol=0
    )


def test_guidance_teaches_attention_where_to_look(tiny):
    """A few steps on the guidance alone bring the guided heads' cross-entropy down."""
    batch = next(stream(4, 2, buffer=2, side=48))
    cores = record_middle(tiny.train())
    assert len(cores) == 2
    optimiser = torch.optim.Adam(tiny.aggregator.parameters(), 2e-3)
    history = []
    for _ in range(25):
        layout = tiny.run_trunk(batch.images)[1]
        loss = matching_loss(cores, layout, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
    assert history[-1] < 0.8 * history[0]
    assert history[0] < 1.2 * np.log(
        2 * 41
    )  # about uniform over two views of 36 patches and 5 special tokens
