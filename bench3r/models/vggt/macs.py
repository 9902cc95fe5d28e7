"""MACs of a VGGT in closed form."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.api.cost import AttentionShape, BackboneCost
from bench3r.models.macs import as_floats, block_macs, dpt_macs, trunk_attentions
from bench3r.models.vggt.config import VGGTConfig


def vggt_macs(config: VGGTConfig, frames: int, size: tuple[int, int]) -> dict[str, int]:
    """MACs by part for one scene of ``frames`` images of ``size`` (H, W), without tracks."""
    a = config.aggregator
    grid = (size[0] // a.patch_size, size[1] // a.patch_size)
    patches = grid[0] * grid[1]
    dim, depth, _ = a.encoder_size()
    encoder_tokens = patches + 5
    trunk_tokens = patches + config.special
    every = frames * trunk_tokens
    camera_dim = config.camera.dim_in
    pose_branch = camera_dim**2 // 2 + 9 * (camera_dim // 2)
    step = frames * (9 * camera_dim + 3 * camera_dim**2 + pose_branch)
    step += config.camera.trunk_depth * block_macs(frames, frames, camera_dim)
    view_block = block_macs(trunk_tokens, trunk_tokens, a.embed_dim, a.mlp_ratio)
    encoder = depth * block_macs(encoder_tokens, encoder_tokens, dim)
    return {
        "patch_embed": frames * (3 * a.patch_size**2 * dim * patches + encoder),
        "frame_blocks": a.depth * frames * view_block,
        "global_blocks": a.depth * block_macs(every, every, a.embed_dim, a.mlp_ratio),
        "camera_head": 4 * step,
        "depth_head": frames * dpt_macs(config.dpt, grid, size, 2),
        "point_head": frames * dpt_macs(config.dpt, grid, size, 4),
    }


def attentions(config: VGGTConfig, frames: int, size: tuple[int, int]) -> Iterator[AttentionShape]:
    """Every attention of the backbone."""
    patches = (size[0] // config.patch_size) * (size[1] // config.patch_size)
    yield from trunk_attentions(
        config.pairs, frames, config.special + patches, config.width, config.trunk_heads
    )
    dim, depth, heads = config.aggregator.encoder_size()
    for layer in range(depth):
        yield AttentionShape("encoder", layer, frames, patches + 5, dim, heads)
    camera = config.camera
    for layer in range(camera.trunk_depth):  # four refinement steps
        yield AttentionShape("head", layer, 4, frames, camera.dim_in, camera.num_heads)


def cost(config: VGGTConfig, frames: int, size: tuple[int, int]) -> BackboneCost:
    """An unchanged VGGT on one scene of ``frames`` images of ``size`` (H, W)."""
    parts = as_floats(vggt_macs(config, frames, size))
    return BackboneCost(
        backbone="vggt",
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
        depth_head=parts["depth_head"] / frames,
    )
