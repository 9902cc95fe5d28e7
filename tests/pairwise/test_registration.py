"""Closed-form pieces of alignment."""

from __future__ import annotations

import math

import pytest
import torch

from bench3r.pairwise.alignment import AlignmentOptions, align_two
from bench3r.pairwise.registration import focal_by_weiszfeld, pose_by_pnp, procrustes
from tests.helpers.pairs import SIZE, World


def test_procrustes_finds_a_similarity_and_no_reflection(rng):
    p = torch.from_numpy(rng.normal(size=(50, 3)))
    rotation = torch.linalg.qr(torch.from_numpy(rng.normal(size=(3, 3))))[0]
    rotation = rotation * torch.linalg.det(rotation)
    q = 1.7 * p @ rotation.T + torch.tensor([1.0, -2, 3])
    q[:5] += 100
    weight = torch.ones(50)
    weight[:5] = 0
    scale, found, shift = procrustes(p, q, weight)
    torch.testing.assert_close(found, rotation)
    torch.testing.assert_close(scale, torch.tensor(1.7).double())
    torch.testing.assert_close(shift, torch.tensor([1.0, -2, 3]).double())
    flat = p * torch.tensor([1.0, 1, -1])
    assert torch.linalg.det(procrustes(p, flat, torch.ones(50))[1]) == pytest.approx(1)


def test_focal_length_and_pose_from_points():
    world = World(2)
    local = world.seen(0, world.points[0])
    noisy = local.clone()
    noisy[:5] = torch.rand(5, SIZE[1], 3) + 0.5  # a tenth of the points is nonsense
    assert float(focal_by_weiszfeld(local)) == pytest.approx(
        float(world.k[0, 0, 0]), rel=0.02
    )  # centre is half a pixel off
    assert float(focal_by_weiszfeld(noisy)) == pytest.approx(float(world.k[0, 0, 0]), rel=0.05)
    points, keep = world.points[1].clone(), torch.ones(SIZE, dtype=torch.bool)
    points[:8] = torch.rand(8, SIZE[1], 3)
    pose = pose_by_pnp(points, float(world.k[1, 0, 0]), keep)
    torch.testing.assert_close(pose, world.c2w[1], atol=0.05, rtol=0)
    assert pose_by_pnp(points, float(world.k[1, 0, 0]), torch.zeros(SIZE, dtype=torch.bool)) is None
    assert pose_by_pnp(points, float("nan"), keep) is None


def test_two_images_in_closed_form():
    world = World(2, 0.002)
    found = align_two(world.predictions(), AlignmentOptions())
    rotation, focal, depth = world.errors(found)
    assert rotation < 1.0  # the principal point is half a pixel off, and the pose makes up for it
    assert focal < 0.02
    assert depth < 0.01
    assert found.iterations == 0
    assert math.isnan(found.loss)
