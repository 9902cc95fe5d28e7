"""Its MACs in closed form."""

from __future__ import annotations

from bench3r.models.planted.config import PlantedConfig

from bench3r.api.cost import BackboneCost
from bench3r.models.macs import block_macs, trunk_attentions


def cost(config: PlantedConfig, frames: int, size: tuple[int, int]) -> BackboneCost:
    pixels, dim, pairs = config.patch_size**2, config.width, config.pairs
    patches = size[0] * size[1] // pixels
    tokens = patches + 1
    parts = {
        "patch_embed": frames * 3 * pixels * dim * patches,
        "frame_blocks": pairs * frames * block_macs(tokens, tokens, dim),
        "global_blocks": pairs * block_macs(frames * tokens, frames * tokens, dim),
        "camera_head": frames * 2 * dim * 9,
        "depth_head": frames * patches * 2 * dim * pixels,
    }
    return BackboneCost(
        backbone="planted",
        frames=frames,
        size=size,
        patch_size=config.patch_size,
        special=1,
        dim=dim,
        heads=config.heads,
        pairs=pairs,
        taps=(pairs - 1,),
        parts={name: float(macs) for name, macs in parts.items()},
        attentions=tuple(trunk_attentions(pairs, frames, tokens, dim, config.heads)),
        attention_parts={"frame": ("frame_blocks",), "global": ("global_blocks",)},
        depth_head=float(patches * 2 * dim * pixels),
    )
