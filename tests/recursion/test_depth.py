"""Recursion depths: the smallest smooth map, regions, statistics."""

from __future__ import annotations

import numpy as np
import torch

from bench3r.recursion.depth import (
    lipschitz,
    lipschitz_regions,
    neighbour_differences,
    region_adjacency,
    statistics,
    violations,
)


def brute_lipschitz(depth: np.ndarray) -> np.ndarray:
    """max over q of depth(q) - chessboard distance(p, q)."""
    h, w = depth.shape
    rows, columns = np.mgrid[:h, :w]
    far = np.maximum(
        np.abs(rows.ravel()[:, None] - rows.ravel()),
        np.abs(columns.ravel()[:, None] - columns.ravel()),
    )
    return (depth.ravel()[None] - far).max(1).reshape(h, w)


def test_lipschitz_is_the_smallest_smooth_map_above(rng):
    for _ in range(20):
        depth = rng.integers(1, 6, (7, 9))
        smooth = lipschitz(torch.from_numpy(depth))
        np.testing.assert_array_equal(smooth.numpy(), brute_lipschitz(depth))
        assert max(int(d.max()) for d in neighbour_differences(smooth)) <= 1
        assert violations(smooth) == 0


def test_lipschitz_on_regions(rng):
    labels = torch.from_numpy(rng.integers(0, 6, (8, 8)))
    labels.view(-1)[:6] = torch.arange(6)
    adjacency = region_adjacency(labels, 6)
    smooth = lipschitz_regions(torch.tensor([4, 1, 1, 1, 1, 1]), adjacency)
    assert max(int(d.max()) for d in neighbour_differences(smooth[labels])) <= 1
    chain = torch.tensor([[0, 1, 2, 3]]).repeat_interleave(2, 1)
    assert lipschitz_regions(torch.tensor([4, 1, 1, 1]), region_adjacency(chain, 4)).tolist() == [
        4,
        3,
        2,
        1,
    ]


def test_statistics_report_a_collapse():
    assert statistics(torch.full((1, 1, 4, 4), 2), 4)["collapsed"]
    mixed = torch.tensor([[[[1, 1], [1, 3]]]])
    facts = statistics(mixed, 4)
    assert not facts["collapsed"]
    assert facts["depth_histogram"] == [0, 3, 0, 1, 0]
    assert facts["mean_depth"] == 1.5
    assert facts["violations"] == 0.5
