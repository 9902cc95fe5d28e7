"""MACs of a π³ in closed form."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.api.cost import AttentionShape, BackboneCost
from bench3r.models.macs import as_floats, block_macs, trunk_attentions
from bench3r.models.pi3.config import Pi3Config


def pi3_macs(config: Pi3Config, frames: int, size: tuple[int, int]) -> dict[str, int]:
    """MACs by part for one scene of ``frames`` images of ``size`` (H, W).

    "geometry" moves the points and poses into the first camera's frame.
    """
    e = config.encoder
    head = config.head
    patches = (size[0] // e.patch_size) * (size[1] // e.patch_size)
    tokens = patches + config.registers
    every = frames * tokens
    dim = e.dim
    pairs = config.pairs
    encoder = e.depth * block_macs(patches + 5, patches + 5, dim)
    decoder = tokens * 2 * dim * head.dim + head.depth * block_macs(tokens, tokens, head.dim)
    features = decoder + tokens * head.dim * config.head_out
    pixels = e.patch_size**2
    camera = config.camera_dim
    pose = patches * 6 * camera**2 + 2 * camera**2 + 12 * camera + 2 * 27
    return {
        "patch_embed": frames * (3 * pixels * dim * patches + encoder),
        "frame_blocks": pairs * frames * block_macs(tokens, tokens, dim),
        "global_blocks": pairs * block_macs(every, every, dim),
        "camera_head": frames * (decoder + tokens * head.dim * camera + pose),
        "point_head": frames * (features + patches * config.head_out * 3 * pixels),
        "conf_head": frames * (features + patches * config.head_out * pixels),
        "geometry": frames * (9 * size[0] * size[1] + 64),
    }


def attentions(config: Pi3Config, frames: int, size: tuple[int, int]) -> Iterator[AttentionShape]:
    """Every attention of the backbone."""
    patches = (size[0] // config.patch_size) * (size[1] // config.patch_size)
    yield from trunk_attentions(
        config.pairs, frames, config.special + patches, config.width, config.trunk_heads
    )
    encoder = config.encoder
    head = config.head
    for layer in range(encoder.depth):
        yield AttentionShape("encoder", layer, frames, patches + 5, encoder.dim, encoder.heads)
    for layer in range(3 * head.depth):  # three decoders
        yield AttentionShape("head", layer, frames, config.special + patches, head.dim, head.heads)


def cost(config: Pi3Config, frames: int, size: tuple[int, int]) -> BackboneCost:
    """An unchanged π³ on one scene of ``frames`` images of ``size`` (H, W)."""
    parts = as_floats(pi3_macs(config, frames, size))
    return BackboneCost(
        backbone="pi3",
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
            "head": ("camera_head", "point_head", "conf_head"),
        },
        depth_head=parts["point_head"] / frames,
    )
