"""Sparse alignment: canonical views, the kinematic tree, scenes that it recovers."""

from __future__ import annotations

import pytest
import torch

from bench3r.pairwise.matching import Matches
from bench3r.pairwise.sparse_alignment import (
    SparseOptions,
    canonical_view,
    kinematic_tree,
    robust,
    sparse_align,
)
from tests.helpers.pairs import SIZE, World


def test_sparse_alignment_recovers_a_scene():
    world = World(4, 0.005)
    matches = {(i, j): world.matches(i, j) for i in range(4) for j in range(i + 1, 4)}
    found = sparse_align(world.predictions(), matches, SparseOptions())
    rotation, focal, _ = world.errors(found)
    assert rotation < 1.0
    assert focal < 0.03
    assert found.loss < found.start_loss
    assert found.principal is not None


def test_sparse_alignment_without_trusted_matches_uses_the_points():
    world = World(3, 0.005)
    weak = {
        e: Matches(m.xy1, m.xy2, m.confidence / 10)
        for e in ((0, 1), (0, 2), (1, 2))
        if (m := world.matches(*e))
    }
    rotation, _, _ = world.errors(
        sparse_align(world.predictions(), weak, SparseOptions(iterations=(300, 100)))
    )
    assert rotation < 5.0


def test_canonical_view_keeps_the_shape():
    world = World(2)
    local = world.seen(0, world.points[0])
    view = canonical_view(local[None], torch.full((1, *SIZE), 5.0))
    blocks = (torch.arange(SIZE[0])[:, None] // 8) * (SIZE[1] // 8) + torch.arange(SIZE[1]) // 8
    torch.testing.assert_close(
        view.depth.flatten()[blocks] * view.relative, local[..., 2], rtol=1e-4, atol=1e-4
    )


def test_kinematic_tree_hangs_images_by_their_best_matches():
    scores = {(0, 1): 90.0, (1, 2): 80.0, (2, 3): 70.0, (0, 3): 5.0, (3, 4): 60.0}
    order, parents = kinematic_tree(5, scores, 100)
    edges = {tuple(sorted((i, p))) for i, p in enumerate(parents) if p >= 0}
    assert edges == {(0, 1), (1, 2), (2, 3), (3, 4)}
    assert order[0] == 2  # the centre of the chain
    assert all(parents[i] == -1 or order.index(parents[i]) < order.index(i) for i in order)


@pytest.mark.parametrize("power", [0.5, 1.0, 1.1, 1.5])
def test_robust_distance_is_zero_with_slope_one_at_zero(power):
    x = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    assert float(robust(x, power).detach()) == pytest.approx(0)
    assert float(torch.autograd.grad(robust(x, power), x)[0]) == pytest.approx(1)
