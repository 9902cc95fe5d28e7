"""MACs of unchanged backbones at any size without running anything, as :class:`bench3r.api.cost.BackboneCost`."""

from __future__ import annotations

from typing import Any

from bench3r.api.cost import AttentionShape, BackboneCost
from bench3r.api.errors import Bench3RError
from bench3r.measure.closed_form import backbone_macs, dpt_macs, pair_macs
from bench3r.models.scales import input_size, scale_config
from bench3r.models.vggt.config import DPTConfig

PUBLISHED_FRAMES = (1, 2, 8, 32, 100, 300, 1000, 3000, 10000)


def dense_cost(backbone: str, scale: str, frames: int, size: tuple[int, int] | None = None) -> BackboneCost:
    """The unchanged ``backbone`` at ``scale``; ``size`` None: the scale's usual image.

    Raises Bench3RError for less than one frame and for names without a configuration.
    """
    if frames < 1:
        raise Bench3RError(f"frames must be at least 1, got {frames}")
    height, width, _ = input_size(backbone, scale)
    size = size or (height, width)
    c: Any = scale_config(backbone, scale)
    if backbone not in ("vggt", "pi3", "depth_anything_3"):
        pair = {k: float(v) for k, v in pair_macs(c, frames, 1, size).items()}
        return BackboneCost(backbone, frames, size, c.patch_size, 0, 0, 0, 1, (), pair, (), {}, 0.0)
    parts = {k: float(v) for k, v in backbone_macs(backbone, c, frames, size).items()}
    grid = (size[0] // c.patch_size, size[1] // c.patch_size)
    heads = ("camera_head", "point_head", "conf_head") if backbone == "pi3" else ("camera_head",)
    where = {"encoder": ("patch_embed",), "frame": ("frame_blocks",), "global": ("global_blocks",), "head": heads}
    if backbone == "depth_anything_3":
        dpt = DPTConfig(dim_in=2 * c.width, features=c.head.features, out_channels=c.head.out_channels)
        depth = float(dpt_macs(dpt, grid, size, 2))
    else:
        depth = parts["point_head" if backbone == "pi3" else "depth_head"] / frames
    shapes = tuple(_attentions(backbone, c, frames, grid[0] * grid[1]))
    return BackboneCost(
        backbone, frames, size, c.patch_size, c.special, c.width, c.trunk_heads, c.pairs, tuple(c.taps), parts, shapes,
        where, depth,
    )  # fmt: skip


def _attentions(backbone: str, c: Any, s: int, patches: int) -> list[AttentionShape]:
    """Every attention of the backbone."""
    tokens = c.special + patches
    found = [
        AttentionShape(role, i, n, length, c.width, c.trunk_heads)
        for i in range(c.pairs)
        for role, n, length in (("frame", s, tokens), ("global", 1, s * tokens))
    ]
    if backbone == "vggt":
        dim, depth, heads = c.aggregator.encoder_size()
        found += [AttentionShape("encoder", i, s, patches + 5, dim, heads) for i in range(depth)]
        camera = c.camera
        found += [AttentionShape("head", i, 4, s, camera.dim_in, camera.num_heads) for i in range(camera.trunk_depth)]
    elif backbone == "pi3":
        e, h = c.encoder, c.head
        found += [AttentionShape("encoder", i, s, patches + 5, e.dim, e.heads) for i in range(e.depth)]
        found += [AttentionShape("head", i, s, tokens, h.dim, h.heads) for i in range(3 * h.depth)]
    else:
        found += [AttentionShape("encoder", i, s, patches + 1, c.width, c.trunk_heads) for i in range(c.net.alt_start)]
    return found
