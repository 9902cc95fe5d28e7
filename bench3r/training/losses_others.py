"""The training losses of π³ and Depth-Anything-3, on the same batches as VGGT's."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.api.reconstruction import Reconstruction
from bench3r.models.geometry import encode_pose, rigid_inverse
from bench3r.training.losses import Batch, camera_loss, dense_loss

CONFIDENT_ERROR = 0.05  # relative error of a point below which π³'s confidence should be 1
TRANSLATION_WEIGHT = 100.0  # of translations beside rotations in π³'s camera loss
TRANSLATION_DELTA = 0.1  # Huber, in units of the mean point distance
ALIGN_STRIDE = 4  # every fourth pixel finds the scale


def camera_points(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """z-depth [B, S, H, W] with intrinsics [B, S, 3, 3] -> points in each camera's frame [B, S, H, W, 3]."""
    return camera_rays(intrinsics, depth.shape[-2:], depth.shape[-2:]) * depth[..., None]


def camera_rays(intrinsics: Tensor, size: tuple[int, ...], grid: tuple[int, ...]) -> Tensor:
    """Directions with unit depth [B, S, *grid, 3] through a ``grid`` of points that spans images of ``size`` (H, W)."""
    device = intrinsics.device
    v = torch.linspace(0, size[0] - 1, grid[0], device=device)[:, None].expand(*grid)
    u = torch.linspace(0, size[1] - 1, grid[1], device=device)[None].expand(*grid)
    k = intrinsics[..., None, None, :, :]
    x, y = (u - k[..., 0, 2]) / k[..., 0, 0], (v - k[..., 1, 2]) / k[..., 1, 1]
    return torch.stack([x, y, torch.ones_like(x)], -1)


def best_scale(predicted: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """The scale [B] that minimises sum weight |scale * predicted - truth|_1 per scene: a weighted median.

    ``predicted`` and ``truth`` [B, ..., 3], ``weight`` [B, ...], 0 where unknown.
    """
    a, b, w = predicted.flatten(1), truth.flatten(1), weight[..., None].expand_as(truth).flatten(1)
    ratio, mass = b / torch.where(a.abs() < 1e-8, 1e-8, a), w * a.abs()
    ratio, order = ratio.sort(1)
    total = mass.gather(1, order).cumsum(1)
    middle = torch.searchsorted(total, total[:, -1:] / 2).clamp(max=ratio.shape[1] - 1)
    return ratio.gather(1, middle)[:, 0].clamp(min=1e-4)


def normals(points: Tensor) -> Tensor:
    """Unit normals [..., H - 1, W - 1, 3] of a map of points [..., H, W, 3] from forward differences."""
    right, down = points.diff(dim=-2)[..., :-1, :, :], points.diff(dim=-3)[..., :-1, :]
    return F.normalize(torch.linalg.cross(right, down), dim=-1, eps=1e-8)


def pi3_losses(out: Reconstruction, batch: Batch, views: Tensor) -> dict[str, Tensor]:
    """π³'s loss (Wang et al. 2025, §3.4): points up to one scale per scene, normals, confidence, relative poses."""
    local, logits = out.extras["local_points"], out.extras["conf_logits"]
    depth = batch.depth[:, views]
    valid = depth > 0
    truth = camera_points(depth, batch.intrinsics[:, views])
    weight = torch.where(valid, 1 / depth.clamp(min=1e-6), 0)
    few = (slice(None), slice(None), slice(None, None, ALIGN_STRIDE), slice(None, None, ALIGN_STRIDE))
    scale = best_scale(local[few].detach(), truth[few], weight[few])
    aligned = scale[:, None, None, None, None] * local
    error = (aligned - truth).abs().sum(-1) * weight
    count = valid.sum().clamp(min=1)
    close = (error.detach() < CONFIDENT_ERROR) & valid
    flat = valid[..., :-1, :-1] & valid[..., 1:, :-1] & valid[..., :-1, 1:]
    cosine = (normals(aligned) * normals(truth)).sum(-1)
    bce = F.binary_cross_entropy_with_logits(logits, close.float(), reduction="none")
    return {
        "point": error.sum() / count,
        "normal": torch.where(flat, 1 - cosine, 0).sum() / flat.sum().clamp(min=1),
        "confidence": torch.where(valid, bce, 0).sum() / count,
        "camera": relative_pose_loss(out.extras["camera_poses"], scale, batch),
    }


def relative_pose_loss(poses: Tensor, scale: Tensor, batch: Batch) -> Tensor:
    """Rotation angle and Huber distance of translation of every pair of views.

    ``poses`` [B, S, 4, 4] camera to world in any frame, ``scale`` [B] to the batch's units.
    """
    bottom = batch.extrinsics.new_tensor([0.0, 0, 0, 1]).expand(*batch.extrinsics.shape[:2], 1, 4)
    known = torch.cat([batch.extrinsics, bottom], 2)
    truth = known[:, :, None] @ rigid_inverse(known)[:, None]  # [B, S, S, 4, 4]: camera j seen from i
    found = rigid_inverse(poses)[:, :, None] @ poses[:, None]
    pairs = ~torch.eye(poses.shape[1], dtype=torch.bool, device=poses.device)
    difference = (found - truth)[..., :3, :3].flatten(-2).norm(dim=-1)  # 2 sqrt(2) sin(angle / 2)
    angle = 2 * (difference / math.sqrt(8)).clamp(max=1 - 1e-6).asin()
    shift = scale[:, None, None, None] * found[..., :3, 3] - truth[..., :3, 3]
    distance = F.huber_loss(shift, torch.zeros_like(shift), reduction="none", delta=TRANSLATION_DELTA).mean(-1)
    return (angle + TRANSLATION_WEIGHT * distance)[:, pairs].mean()


def da3_losses(out: Reconstruction, batch: Batch, views: Tensor) -> dict[str, Tensor]:
    """Depth-Anything-3's loss (Lin et al. 2025, §3.2): depth with its gradient, rays, points along them, camera."""
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
    sampled, true = resample(out.depth, grid), resample(depth, grid, nearest=True)
    valid = true > 0
    points = sampled[..., None] * rays[..., :3] + rays[..., 3:]
    distance = (points - (true[..., None] * direction + origin)).abs().sum(-1)
    return {
        "depth": dense_loss(out.depth[..., None], out.depth_conf, depth[..., None], depth > 0),
        "ray": dense_loss(rays, out.extras["ray_conf"], torch.cat([direction, origin], -1), everywhere),
        "point": torch.where(valid, distance, 0).sum() / valid.sum().clamp(min=1),
        "camera": camera_loss(out.extras["pose_encodings"], encode_pose(to_world[..., :3, :], batch.intrinsics, size)),
    }


def resample(maps: Tensor, grid: tuple[int, ...], nearest: bool = False) -> Tensor:
    """Maps [B, S, H, W] at ``grid`` points that span the image; corners aligned, or nearest for maps with holes."""
    if tuple(maps.shape[-2:]) == tuple(grid):
        return maps
    if nearest:
        rows, columns = (
            torch.linspace(0, size - 1, points, device=maps.device).round().long()
            for size, points in zip(maps.shape[-2:], grid, strict=True)
        )
        return maps[..., rows[:, None], columns[None]]
    return F.interpolate(maps, grid, mode="bilinear", align_corners=True)
