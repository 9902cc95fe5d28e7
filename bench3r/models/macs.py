"""MACs of what several networks are made of, in closed form.

The analytic cross-check of the counters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench3r.api.cost import AttentionShape
from bench3r.models.dpt_config import DPTConfig


def block_macs(tokens: int, context: int, dim: int, mlp_ratio: float = 4.0) -> int:
    """One transformer block on ``tokens`` tokens, each attending to ``context`` tokens."""
    return int(tokens * ((4 + 2 * mlp_ratio) * dim * dim + 2 * context * dim))


def as_floats(parts: dict[str, int]) -> dict[str, float]:
    """The MACs of parts as costs hold them: some methods take fractions of them."""
    return {name: float(macs) for name, macs in parts.items()}


def level_pixels(grid: tuple[int, int]) -> tuple[int, int, int, int]:
    """Pixels of a DPT head's four levels for a ``grid`` of patches."""
    h, w = grid
    return 16 * h * w, 4 * h * w, h * w, math.ceil(h / 2) * math.ceil(w / 2)


def fusion_macs(features: int, grid: tuple[int, int]) -> int:
    """The four fusion blocks of a DPT head."""
    f = features
    total = 0
    for level, pixels in enumerate(level_pixels(grid)):
        convolutions = 2 if level == 3 else 4
        total += (convolutions * 9 * f * f + f * f) * pixels
    return total


def dpt_macs(dpt: DPTConfig, grid: tuple[int, int], size: tuple[int, int], output_dim: int) -> int:
    """One DPT head on one frame. ``grid`` in patches, ``size`` in pixels."""
    f = dpt.features
    patches = grid[0] * grid[1]
    pixels = level_pixels(grid)
    c0, c1, _, c3 = dpt.out_channels
    total = dpt.dim_in * sum(dpt.out_channels) * patches
    total += c0 * c0 * 16 * patches + c1 * c1 * 4 * patches + c3 * c3 * 9 * pixels[3]
    total += sum(9 * c * f * p for c, p in zip(dpt.out_channels, pixels, strict=True))
    total += fusion_macs(f, grid)
    narrow = f // 2
    total += 9 * f * narrow * 64 * patches
    return total + (9 * narrow * 32 + 32 * output_dim) * size[0] * size[1]


def trunk_attentions(
    pairs: int, frames: int, tokens: int, dim: int, heads: int
) -> Iterator[AttentionShape]:
    """Frame and global attention of a trunk of ``pairs``.

    On ``frames`` views of ``tokens`` tokens each.
    """
    for layer in range(pairs):
        yield AttentionShape("frame", layer, frames, tokens, dim, heads)
        yield AttentionShape("global", layer, 1, frames * tokens, dim, heads)
