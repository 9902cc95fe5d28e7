"""MACs of a pair network in closed form."""

from __future__ import annotations

from bench3r.api.cost import BackboneCost
from bench3r.models.macs import block_macs, fusion_macs, level_pixels
from bench3r.models.pair.config import PairConfig


def pair_macs(config: PairConfig, images: int, edges: int, size: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds by part of DUSt3R or MASt3R for ``edges`` ordered pairs of ``images``, each encoded once."""
    p, dim, width = config.patch_size, config.enc_embed_dim, config.dec_embed_dim
    grid, ratio = (size[0] // p, size[1] // p), config.mlp_ratio
    patches, pixels = grid[0] * grid[1], size[0] * size[1]
    block = (
        block_macs(patches, patches, width, ratio) + 4 * width**2 * patches + 2 * patches**2 * width
    )
    if config.head == "linear":
        head = patches * width * 4 * p * p
    else:
        f, (c0, c1, _, c3) = config.dpt.features, config.dpt.out_channels
        levels, narrow = level_pixels(grid), config.dpt.features // 2
        head = (dim * c0 + width * sum(config.dpt.out_channels[1:])) * patches
        head += (16 * c0 * c0 + 4 * c1 * c1) * patches + 9 * c3 * c3 * levels[3]
        head += sum(
            9 * c * f * n for c, n in zip(config.dpt.out_channels, levels, strict=True)
        ) + fusion_macs(f, grid)
        head += 9 * f * narrow * 64 * patches + (9 * narrow * narrow + 4 * narrow) * pixels
    if config.descriptors:
        both = dim + width
        hidden = int(config.local_ratio * both)
        head += patches * hidden * (both + (config.descriptors + 1) * p * p)
    return {
        "patch_embed": images * 3 * p * p * dim * patches,
        "encoder": images * config.enc_depth * block_macs(patches, patches, dim, ratio),
        "decoders": 2 * edges * (patches * dim * width + config.dec_depth * block),
        "point_head": 2 * edges * head,
    }


def cost(config: PairConfig, frames: int, size: tuple[int, int]) -> BackboneCost:
    """The network on ``frames`` images of ``size`` (H, W) and one ordered pair of them; it has no trunk."""
    parts = {name: float(macs) for name, macs in pair_macs(config, frames, 1, size).items()}
    return BackboneCost(
        backbone="pair",
        frames=frames,
        size=size,
        patch_size=config.patch_size,
        special=0,
        dim=0,
        heads=1,
        pairs=0,
        taps=(),
        parts=parts,
        attentions=(),
        attention_parts={},
        depth_head=0.0,
    )
