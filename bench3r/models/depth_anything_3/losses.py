"""The training loss of Depth-Anything-3, on the same batches as VGGT's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.api.reconstruction import Reconstruction
from bench3r.models.backbone import Backbone
from bench3r.models.geometry import camera_rays, encode_pose, rigid_inverse
from bench3r.models.losses import Batch, camera_loss, dense_loss
from bench3r.models.trainable import BackboneLoss, Loss


def da3_losses(out: Reconstruction, batch: Batch, views: Tensor) -> dict[str, Tensor]:
    """Depth-Anything-3's loss (Lin et al. 2025, §3.2): depth, rays, points, camera, each [].

    Depth with its gradient; points along the rays. Dense parts on the views ``views`` [V] that
    ``out`` has maps for.
    """
    depth = batch.depth[:, views]
    size = (int(depth.shape[-2]), int(depth.shape[-1]))
    bottom = batch.extrinsics.new_tensor([0.0, 0, 0, 1]).expand(*batch.extrinsics.shape[:2], 1, 4)
    to_world = rigid_inverse(torch.cat([batch.extrinsics, bottom], 2))
    rays = out.extras["rays"]
    grid = tuple(rays.shape[2:4])
    direction = camera_rays(batch.intrinsics[:, views], size, grid)
    seen = to_world[:, views]
    direction = torch.einsum("bsij,bshwj->bshwi", seen[..., :3, :3], direction)
    origin = seen[:, :, None, None, :3, 3].expand_as(direction)
    everywhere = torch.ones_like(rays[..., 0], dtype=torch.bool)
    expected_rays = torch.cat([direction, origin], -1)
    sampled = resample(out.depth, grid)
    expected = resample(depth, grid, nearest=True)
    valid = expected > 0
    points = sampled[..., None] * rays[..., :3] + rays[..., 3:]
    distance = (points - (expected[..., None] * direction + origin)).abs().sum(-1)
    poses = encode_pose(to_world[..., :3, :], batch.intrinsics, size)
    return {
        "depth": dense_loss(out.depth[..., None], out.depth_conf, depth[..., None], depth > 0),
        "ray": dense_loss(rays, out.extras["ray_conf"], expected_rays, everywhere),
        "point": torch.where(valid, distance, 0).sum() / valid.sum().clamp(min=1),
        "camera": camera_loss(out.extras["pose_encodings"], poses),
    }


def resample(maps: Tensor, grid: tuple[int, ...], nearest: bool = False) -> Tensor:
    """Maps [B, S, H, W] -> [B, S, *grid], at points that span the image.

    Corners aligned, or the nearest pixel, for maps with unknown values.
    """
    if tuple(maps.shape[-2:]) == tuple(grid):
        return maps
    if nearest:
        height, width = maps.shape[-2:]
        rows = torch.linspace(0, height - 1, grid[0], device=maps.device).round().long()
        columns = torch.linspace(0, width - 1, grid[1], device=maps.device).round().long()
        return maps[..., rows[:, None], columns[None]]
    return F.interpolate(maps, grid, mode="bilinear", align_corners=True)


def build_loss(model: Backbone, weights: Mapping[str, float]) -> Loss:
    """The loss that a Depth-Anything-3 is trained with."""
    return BackboneLoss(model, weights, da3_losses)
