"""Plain 2 x 2 blocks of patches that a recursion computes as one token each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.models.layers import TokenLayout
from bench3r.recursion.packed import Subset, as_grid, deeper_than


def plain_blocks(images: Tensor, grid: tuple[int, int], share: float) -> Tensor:
    """Which 2 x 2 blocks of patches are among the ``share`` of an image whose pixels vary least.

    bool [B * S, h // 2, w // 2] from images [B, S, 3, H, W] of ``grid`` = (h, w) patches.
    """
    rows, columns = grid[0] // 2, grid[1] // 2
    patch = images.shape[-1] // grid[1]
    pixels = images.flatten(0, 1)[..., : 2 * rows * patch, : 2 * columns * patch].float()
    mean = F.adaptive_avg_pool2d(pixels, (rows, columns))
    mean_square = F.adaptive_avg_pool2d(pixels.square(), (rows, columns))
    variance = (mean_square - mean.square()).sum(1).flatten(1)
    rank = variance.argsort(1).argsort(1)
    return (rank < round(share * rows * columns)).unflatten(1, (rows, columns))


def to_patches(blocks: Tensor, size: tuple[int, int]) -> Tensor:
    """Values of blocks [V, C, h // 2, w // 2] for each of their patches [V, C, h, w].

    ``size`` is (h, w). Zero for an odd last row or column, which belongs to no block.
    """
    wide = blocks.repeat_interleave(2, -1).repeat_interleave(2, -2)
    return F.pad(wide, (0, size[1] - wide.shape[-1], 0, size[0] - wide.shape[-2]))


def as_rows(grid: Tensor, rows: Tensor, special: int) -> Tensor:
    """Maps [V, C, h, w] as a flat token list [N, C]; special tokens come from ``rows`` [N, C]."""
    views = rows.unflatten(0, (len(grid), -1))
    return torch.cat([views[:, :special], grid.flatten(2).transpose(1, 2)], 1).flatten(0, 1)


@dataclass(frozen=True)
class MergedBlocks:
    """The blocks that are merged in the views of one batch."""

    merged: Tensor  # bool [B * S, h // 2, w // 2]
    layout: TokenLayout  # of all tokens

    @property
    def size(self) -> tuple[int, int]:
        """Patches down and across a view."""
        return self.layout.height, self.layout.width

    @property
    def inside(self) -> Tensor:
        """Which patches lie in a merged block, bool [B * S, 1, h, w]."""
        return to_patches(self.merged[:, None].float(), self.size) > 0

    def computed(self) -> Subset:
        """Special tokens, patches outside merged blocks, and of each block the first patch."""
        left_out = self.inside[:, 0]
        left_out[:, ::2, ::2] = False
        shape = (self.layout.batch, self.layout.views, *self.size)
        return deeper_than((~left_out).long().view(shape), 0, self.layout)

    def with_means(self, x: Tensor) -> Tensor:
        """``x`` [N, C] where every patch of a merged block holds the block's mean."""
        grid = as_grid(x, self.layout)  # [B * S, C, h, w]
        mean = to_patches(F.avg_pool2d(grid, 2), self.size)
        return as_rows(torch.where(self.inside, mean, grid), x, self.layout.special)

    def spread_step(self, before: Tensor, after: Tensor) -> Tensor:
        """``after`` [N, C] where every patch of a merged block takes its block's step.

        The step is from the block's mean in ``before`` [N, C] to its first patch in ``after``.
        """
        old = as_grid(before, self.layout)
        new = as_grid(after, self.layout)
        rows, columns = self.size[0] // 2 * 2, self.size[1] // 2 * 2
        step = new[..., :rows:2, :columns:2] - F.avg_pool2d(old, 2)
        moved = torch.where(self.inside, old + to_patches(step, self.size), new)
        return as_rows(moved, after, self.layout.special)
