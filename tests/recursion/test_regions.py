"""Regions and merged blocks: means, smooth depths, one token for four patches."""

from __future__ import annotations

import torch

from bench3r.models.layers import TokenLayout
from bench3r.recursion.merged_blocks import MergedBlocks, plain_blocks
from bench3r.recursion.packed import as_grid
from bench3r.recursion.regions import lipschitz_on_regions, region_means, segment

LAYOUT = TokenLayout(1, 2, 1, 4, 5)  # 2 views of 4 x 5 patches, an odd last column


def test_a_regions_mean_replaces_its_rows():
    values = torch.tensor([[1.0, 0], [3, 4], [10, 10], [5, 8]])
    labels = torch.tensor([0, 0, 2, 0])
    expected = torch.tensor([[3.0, 4], [3, 4], [10, 10], [3, 4]])
    torch.testing.assert_close(region_means(values, labels), expected)


def test_adjacent_regions_never_differ_by_more_than_one():
    regions = torch.arange(4).repeat_interleave(2).expand(1, 3, 8)
    chosen = torch.tensor([1, 1, 1, 1, 1, 1, 4, 4]).expand(1, 3, 8)
    found = lipschitz_on_regions(chosen, regions)
    assert found[0, 0].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]


def test_labels_are_distinct_across_views():
    images = torch.rand(1, 3, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    regions = segment(images, (4, 5), 6)
    assert regions.shape == (1, 3, 4, 5)
    sets = [set(view.flatten().tolist()) for view in regions[0]]
    assert not sets[0] & sets[1]
    assert set.union(*sets) == set(range(int(regions.max()) + 1))


def test_the_plainest_blocks_are_chosen():
    images = torch.rand(1, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images[..., :16, 16:] = 0.5
    assert plain_blocks(images, (4, 4), 0.25).tolist() == [[[False, True], [False, False]]]


def test_merged_blocks_are_computed_once_and_move_together():
    merged = torch.zeros(2, 2, 2, dtype=torch.bool)
    merged[1, 0, 1] = True
    blocks = MergedBlocks(merged, LAYOUT)
    assert len(blocks.computed().index) == 2 * 21 - 3
    x = torch.rand(42, 3, generator=torch.Generator().manual_seed(0))
    entered = as_grid(blocks.with_means(x), LAYOUT)
    before = as_grid(x, LAYOUT)
    block = before[1, :, :2, 2:4]
    torch.testing.assert_close(entered[1, :, 0, 2], block.mean((1, 2)))
    torch.testing.assert_close(entered[0], before[0])
    after = as_grid(blocks.spread_step(x, x + 1), LAYOUT)
    step = before[1, :, 0, 2] + 1 - block.mean((1, 2))  # of the block's token
    torch.testing.assert_close(after[1, :, :2, 2:4], block + step[:, None, None])
    torch.testing.assert_close(after[0], before[0] + 1)
