"""Multiply-adds of a backbone in closed form, from its configuration alone: the third opinion on the counters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bench3r.models.depth_anything_3.config import DepthAnything3Config
from bench3r.models.pair.config import PairConfig
from bench3r.models.pi3.config import Pi3Config
from bench3r.models.vggt.config import DPTConfig, VGGTConfig


def block_macs(tokens: int, context: int, dim: int, mlp_ratio: float = 4.0) -> int:
    """One transformer block on ``tokens`` tokens, each attending to ``context`` tokens."""
    return int(tokens * ((4 + 2 * mlp_ratio) * dim * dim + 2 * context * dim))


def level_pixels(grid: tuple[int, int]) -> tuple[int, int, int, int]:
    """Pixels of a DPT head's four levels for a ``grid`` of patches."""
    h, w = grid
    return 16 * h * w, 4 * h * w, h * w, math.ceil(h / 2) * math.ceil(w / 2)


def fusion_macs(features: int, grid: tuple[int, int]) -> int:
    """The four fusion blocks of a DPT head."""
    f = features
    return sum(((2 if level == 3 else 4) * 9 * f * f + f * f) * p for level, p in enumerate(level_pixels(grid)))


def dpt_macs(dpt: DPTConfig, grid: tuple[int, int], size: tuple[int, int], output_dim: int) -> int:
    """One DPT head on one frame. ``grid`` in patches, ``size`` in pixels."""
    f, patches, pixels = dpt.features, grid[0] * grid[1], level_pixels(grid)
    c0, c1, _, c3 = dpt.out_channels
    total = sum(dpt.dim_in * c for c in dpt.out_channels) * patches
    total += c0 * c0 * 16 * patches + c1 * c1 * 4 * patches + c3 * c3 * 9 * pixels[3]
    total += sum(9 * c * f * p for c, p in zip(dpt.out_channels, pixels, strict=True))
    total += fusion_macs(f, grid)
    narrow = f // 2
    total += 9 * f * narrow * 64 * patches
    return total + (9 * narrow * 32 + 32 * output_dim) * size[0] * size[1]


def vggt_macs(config: VGGTConfig, frames: int, size: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds by part for one scene of ``frames`` images of ``size`` (H, W), without tracks."""
    a = config.aggregator
    grid = (size[0] // a.patch_size, size[1] // a.patch_size)
    patches = grid[0] * grid[1]
    dim, depth, _ = a.encoder_size()
    encoder_tokens, trunk_tokens = patches + 5, patches + 1 + a.num_register_tokens
    every = frames * trunk_tokens
    camera_dim = config.camera.dim_in
    step = frames * (9 * camera_dim + 3 * camera_dim**2 + camera_dim**2 // 2 + 9 * (camera_dim // 2))
    step += config.camera.trunk_depth * block_macs(frames, frames, camera_dim)
    encoder = depth * block_macs(encoder_tokens, encoder_tokens, dim)
    return {
        "patch_embed": frames * (3 * a.patch_size**2 * dim * patches + encoder),
        "frame_blocks": a.depth * frames * block_macs(trunk_tokens, trunk_tokens, a.embed_dim, a.mlp_ratio),
        "global_blocks": a.depth * block_macs(every, every, a.embed_dim, a.mlp_ratio),
        "camera_head": 4 * step,
        "depth_head": frames * dpt_macs(config.dpt, grid, size, 2),
        "point_head": frames * dpt_macs(config.dpt, grid, size, 4),
    }  # fmt: skip


def pi3_macs(config: Pi3Config, frames: int, size: tuple[int, int]) -> dict[str, int]:
    """As :func:`vggt_macs` for a π³; "geometry" moves the points and poses into the first camera's frame."""
    e, head = config.encoder, config.head
    patches = (size[0] // e.patch_size) * (size[1] // e.patch_size)
    tokens, dim = patches + config.registers, e.dim
    every, pairs = frames * tokens, config.pairs
    encoder = e.depth * block_macs(patches + 5, patches + 5, dim)
    decoder = tokens * 2 * dim * head.dim + head.depth * block_macs(tokens, tokens, head.dim)
    pixels = e.patch_size**2
    camera = config.camera_dim
    pose = patches * 6 * camera**2 + 2 * camera**2 + 12 * camera + 2 * 27
    return {
        "patch_embed": frames * (3 * pixels * dim * patches + encoder),
        "frame_blocks": pairs * frames * block_macs(tokens, tokens, dim),
        "global_blocks": pairs * block_macs(every, every, dim),
        "camera_head": frames * (decoder + tokens * head.dim * camera + pose),
        "point_head": frames * (decoder + tokens * head.dim * config.head_out + patches * config.head_out * 3 * pixels),
        "conf_head": frames * (decoder + tokens * head.dim * config.head_out + patches * config.head_out * pixels),
        "geometry": frames * (9 * size[0] * size[1] + 64),
    }


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
        "patch_embed": frames * (3 * net.patch_size**2 * dim * patches + net.alt_start * block_macs(tokens, tokens, dim)),
        "frame_blocks": pairs * frames * block_macs(tokens, tokens, dim),
        "global_blocks": pairs * block_macs(every, every, dim),
        "camera_head": frames * (2 * wide**2 + 9 * wide),
        "depth_head": frames * (dpt_macs(dpt, grid, size, 2) + rays),
        "geometry": frames**2 * dim if frames >= 3 else 0,
    }


def pair_macs(config: PairConfig, images: int, edges: int, size: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds by part of DUSt3R or MASt3R for ``edges`` ordered pairs of ``images``, each encoded once."""
    p, dim, width = config.patch_size, config.enc_embed_dim, config.dec_embed_dim
    grid, ratio = (size[0] // p, size[1] // p), config.mlp_ratio
    patches, pixels = grid[0] * grid[1], size[0] * size[1]
    block = block_macs(patches, patches, width, ratio) + 4 * width**2 * patches + 2 * patches**2 * width
    if config.head == "linear":
        head = patches * width * 4 * p * p
    else:
        f, (c0, c1, _, c3) = config.dpt.features, config.dpt.out_channels
        levels, narrow = level_pixels(grid), config.dpt.features // 2
        head = (dim * c0 + width * sum(config.dpt.out_channels[1:])) * patches
        head += (16 * c0 * c0 + 4 * c1 * c1) * patches + 9 * c3 * c3 * levels[3]
        head += sum(9 * c * f * n for c, n in zip(config.dpt.out_channels, levels, strict=True)) + fusion_macs(f, grid)
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
    }  # fmt: skip


CLOSED_FORMS: dict[str, Callable[[Any, int, tuple[int, int]], dict[str, int]]] = {
    "vggt": vggt_macs, "pi3": pi3_macs, "depth_anything_3": da3_macs,
}  # fmt: skip


def backbone_macs(backbone: str, config: Any, frames: int, size: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds by part of the unchanged ``backbone`` for one scene of ``frames`` images of ``size`` (H, W)."""
    return CLOSED_FORMS[backbone](config, frames, size)
