"""MACs of a Depth-Anything-3 in closed form."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.api.cost import AttentionShape, BackboneCost
from bench3r.models.depth_anything_3.config import DepthAnything3Config
from bench3r.models.dpt_config import DPTConfig
from bench3r.models.macs import as_floats, block_macs, dpt_macs, fusion_macs, trunk_attentions


def da3_macs(config: DepthAnything3Config, frames: int, size: tuple[int, int]) -> dict[str, int]:
    """MACs by part for one scene of ``frames`` images of ``size`` (H, W).

    "geometry" compares the views' class tokens.
    """
    net = config.net
    grid = (size[0] // net.patch_size, size[1] // net.patch_size)
    patches = grid[0] * grid[1]
    tokens = patches + 1
    every = frames * tokens
    dim = net.dim
    wide = 2 * dim
    view_block = block_macs(tokens, tokens, dim)
    projection = 3 * net.patch_size**2 * dim * patches
    f = config.head.features
    half = f // 2
    rays = fusion_macs(f, grid) + 64 * patches * (5 * 9 * f * half + 9 * half * 32 + 32 * 7)
    return {
        "patch_embed": frames * (projection + net.alt_start * view_block),
        "frame_blocks": config.pairs * frames * view_block,
        "global_blocks": config.pairs * block_macs(every, every, dim),
        "camera_head": frames * (2 * wide**2 + 9 * wide),
        "depth_head": frames * (dpt_macs(depth_dpt(config), grid, size, 2) + rays),
        "geometry": frames**2 * dim if frames >= 3 else 0,
    }


def one_depth(config: DepthAnything3Config, size: tuple[int, int]) -> float:
    """The z-depth of one view, without its rays."""
    grid = (size[0] // config.patch_size, size[1] // config.patch_size)
    return float(dpt_macs(depth_dpt(config), grid, size, 2))


def depth_dpt(config: DepthAnything3Config) -> DPTConfig:
    """The sizes of the depth path of its head."""
    head = config.head
    return DPTConfig(
        dim_in=2 * config.width, features=head.features, out_channels=head.out_channels
    )


def attentions(
    config: DepthAnything3Config, frames: int, size: tuple[int, int]
) -> Iterator[AttentionShape]:
    """Every attention of the backbone."""
    patches = (size[0] // config.patch_size) * (size[1] // config.patch_size)
    yield from trunk_attentions(
        config.pairs, frames, config.special + patches, config.width, config.trunk_heads
    )
    for layer in range(config.net.alt_start):
        yield AttentionShape(
            "encoder", layer, frames, patches + 1, config.width, config.trunk_heads
        )


def cost(config: DepthAnything3Config, frames: int, size: tuple[int, int]) -> BackboneCost:
    """An unchanged Depth-Anything-3 on one scene of ``frames`` images of ``size`` (H, W)."""
    parts = as_floats(da3_macs(config, frames, size))
    return BackboneCost(
        backbone="depth_anything_3",
        frames=frames,
        size=size,
        patch_size=config.patch_size,
        special=config.special,
        dim=config.width,
        heads=config.trunk_heads,
        pairs=config.pairs,
        taps=tuple(config.taps),
        parts=parts,
        attentions=tuple(attentions(config, frames, size)),
        attention_parts={
            "encoder": ("patch_embed",),
            "frame": ("frame_blocks",),
            "global": ("global_blocks",),
            "head": ("camera_head",),
        },
        depth_head=one_depth(config, size),
    )
