"""MACs of a Depth-Anything-3 in closed form."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.api.cost import AttentionShape, BackboneCost
from bench3r.models.depth_anything_3.config import DepthAnything3Config
from bench3r.models.dpt_config import DPTConfig
from bench3r.models.macs import block_macs, dpt_macs, fusion_macs, trunk_attentions


def da3_macs(config: DepthAnything3Config, frames: int, size: tuple[int, int]) -> dict[str, int]:
    """As :func:`vggt_macs` for a Depth-Anything-3; "geometry" compares the views' class tokens."""
    net, head = config.net, config.head
    grid = (size[0] // net.patch_size, size[1] // net.patch_size)
    patches = grid[0] * grid[1]
    tokens, dim = patches + 1, net.dim
    every, pairs, wide = frames * tokens, config.pairs, 2 * dim
    dpt = DPTConfig(dim_in=wide, features=head.features, out_channels=head.out_channels)
    f, half = head.features, head.features // 2
    rays = fusion_macs(f, grid) + 64 * patches * (5 * 9 * f * half + 9 * half * 32 + 32 * 7)
    return {
        "patch_embed": frames
        * (3 * net.patch_size**2 * dim * patches + net.alt_start * block_macs(tokens, tokens, dim)),
        "frame_blocks": pairs * frames * block_macs(tokens, tokens, dim),
        "global_blocks": pairs * block_macs(every, every, dim),
        "camera_head": frames * (2 * wide**2 + 9 * wide),
        "depth_head": frames * (dpt_macs(dpt, grid, size, 2) + rays),
        "geometry": frames**2 * dim if frames >= 3 else 0,
    }


def one_depth(config: DepthAnything3Config, size: tuple[int, int]) -> float:
    """The z-depth of one view, without its rays."""
    grid = (size[0] // config.patch_size, size[1] // config.patch_size)
    head = config.head
    dpt = DPTConfig(dim_in=2 * config.width, features=head.features, out_channels=head.out_channels)
    return float(dpt_macs(dpt, grid, size, 2))


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
    parts = {name: float(macs) for name, macs in da3_macs(config, frames, size).items()}
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
