"""MACs of a pair network in closed form."""

from __future__ import annotations

from bench3r.api.cost import BackboneCost
from bench3r.models.macs import as_floats, block_macs, fusion_macs, level_pixels
from bench3r.models.pair.config import PairConfig


def pair_macs(config: PairConfig, images: int, edges: int, size: tuple[int, int]) -> dict[str, int]:
    """MACs by part of a DUSt3R or MASt3R on ordered pairs of ``images``.

    ``edges`` is their number; each image is encoded once.
    """
    p = config.patch_size
    patches = (size[0] // p) * (size[1] // p)
    dim = config.enc_embed_dim
    width = config.dec_embed_dim
    encoder_block = block_macs(patches, patches, dim, config.mlp_ratio)
    block = block_macs(patches, patches, width, config.mlp_ratio)
    block += 4 * width**2 * patches + 2 * patches**2 * width  # cross-attention
    head = linear_macs(config, patches) if config.head == "linear" else dense_macs(config, size)
    return {
        "patch_embed": images * 3 * p * p * dim * patches,
        "encoder": images * config.enc_depth * encoder_block,
        "decoders": 2 * edges * (patches * dim * width + config.dec_depth * block),
        "point_head": 2 * edges * head,
    }


def linear_macs(config: PairConfig, patches: int) -> int:
    """A linear head on one view."""
    return patches * config.dec_embed_dim * 4 * config.patch_size**2


def dense_macs(config: PairConfig, size: tuple[int, int]) -> int:
    """A dense head on one view of ``size`` (H, W), with local features where there are."""
    p = config.patch_size
    grid = (size[0] // p, size[1] // p)
    patches = grid[0] * grid[1]
    levels = level_pixels(grid)
    dim = config.enc_embed_dim
    width = config.dec_embed_dim
    f = config.dpt.features
    narrow = f // 2
    channels = config.dpt.out_channels
    c0, c1, _, c3 = channels
    head = (dim * c0 + width * sum(channels[1:])) * patches
    head += (16 * c0 * c0 + 4 * c1 * c1) * patches + 9 * c3 * c3 * levels[3]
    head += sum(9 * c * f * n for c, n in zip(channels, levels, strict=True))
    head += fusion_macs(f, grid)
    head += 9 * f * narrow * 64 * patches
    head += (9 * narrow * narrow + 4 * narrow) * size[0] * size[1]
    if config.descriptors:
        both = dim + width
        hidden = int(config.local_ratio * both)
        head += patches * hidden * (both + (config.descriptors + 1) * p * p)
    return head


def cost(config: PairConfig, frames: int, size: tuple[int, int]) -> BackboneCost:
    """The network on ``frames`` images of ``size`` (H, W) and one ordered pair of them.

    It has no trunk.
    """
    parts = as_floats(pair_macs(config, frames, 1, size))
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
