"""Multiply-adds of a VGGT in closed form, from its configuration alone: the third opinion on the counters."""

from __future__ import annotations

import math

from bench3r.models.vggt_config import DPTConfig, VGGTConfig


def block_macs(tokens: int, context: int, dim: int, mlp_ratio: float = 4.0) -> int:
    """One transformer block on ``tokens`` tokens, each attending to ``context`` tokens."""
    return int(tokens * ((4 + 2 * mlp_ratio) * dim * dim + 2 * context * dim))


def dpt_macs(dpt: DPTConfig, grid: tuple[int, int], size: tuple[int, int], output_dim: int) -> int:
    """One DPT head on one frame. ``grid`` in patches, ``size`` in pixels."""
    h, w = grid
    f, patches = dpt.features, h * w
    half = math.ceil(h / 2) * math.ceil(w / 2)
    pixels = (16 * patches, 4 * patches, patches, half)  # of the four levels
    c0, c1, _, c3 = dpt.out_channels
    total = sum(dpt.dim_in * c for c in dpt.out_channels) * patches
    total += c0 * c0 * 16 * patches + c1 * c1 * 4 * patches + c3 * c3 * 9 * half
    total += sum(9 * c * f * p for c, p in zip(dpt.out_channels, pixels, strict=True))
    for level, p in enumerate(pixels):
        convolutions = 2 if level == 3 else 4
        total += (convolutions * 9 * f * f + f * f) * p
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
