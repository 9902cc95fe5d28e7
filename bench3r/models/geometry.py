"""Camera geometry on torch tensors: pose encodings, intrinsics and unprojection.

OpenCV axes, world-to-camera.
"""

from __future__ import annotations

import torch
from torch import Tensor


def quaternion_to_rotation(q: Tensor) -> Tensor:
    """Quaternions [..., 4] (x, y, z, w; any length) -> rotation matrices [..., 3, 3]."""
    x, y, z, w = q.unbind(-1)
    s = 2.0 / (q * q).sum(-1)
    rows = [
        1 - s * (y * y + z * z),
        s * (x * y - z * w),
        s * (x * z + y * w),
        s * (x * y + z * w),
        1 - s * (x * x + z * z),
        s * (y * z - x * w),
        s * (x * z - y * w),
        s * (y * z + x * w),
        1 - s * (x * x + y * y),
    ]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def rotation_to_quaternion(r: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] -> unit quaternions [..., 4] (x, y, z, w) with w >= 0."""
    m = r.flatten(-2)
    xx, yy, zz = m[..., 0], m[..., 4], m[..., 8]
    squared = torch.stack(
        [1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz, 1 + xx + yy + zz], -1
    )
    largest = squared.argmax(-1)
    a = 2 * squared.clamp(min=1e-12).sqrt()  # 4 |component|
    d21 = m[..., 7] - m[..., 5]
    d02 = m[..., 2] - m[..., 6]
    d10 = m[..., 3] - m[..., 1]
    s10 = m[..., 1] + m[..., 3]
    s02 = m[..., 2] + m[..., 6]
    s21 = m[..., 5] + m[..., 7]
    from_x = torch.stack([a[..., 0] ** 2 / 4, s10, s02, d21], -1) / a[..., 0:1]
    from_y = torch.stack([s10, a[..., 1] ** 2 / 4, s21, d02], -1) / a[..., 1:2]
    from_z = torch.stack([s02, s21, a[..., 2] ** 2 / 4, d10], -1) / a[..., 2:3]
    from_w = torch.stack([d21, d02, d10, a[..., 3] ** 2 / 4], -1) / a[..., 3:4]
    four = torch.stack([from_x, from_y, from_z, from_w], -2)
    q = four.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4)).squeeze(-2)
    q = q / q.norm(dim=-1, keepdim=True)
    return torch.where(q[..., 3:] < 0, -q, q)


def encode_pose(extrinsics: Tensor, intrinsics: Tensor, size: tuple[int, int]) -> Tensor:
    """Extrinsics [..., 3, 4] and intrinsics [..., 3, 3] -> pose encodings [..., 9].

    Extrinsics are world to camera; images have the ``size`` (H, W).
    """
    h, w = size
    fov_h = 2 * torch.atan(h / 2 / intrinsics[..., 1, 1])
    fov_w = 2 * torch.atan(w / 2 / intrinsics[..., 0, 0])
    quaternion = rotation_to_quaternion(extrinsics[..., :3, :3])
    return torch.cat([extrinsics[..., :3, 3], quaternion, fov_h[..., None], fov_w[..., None]], -1)


def decode_pose(
    pose: Tensor, size: tuple[int, int], least_tangent: float | None = None
) -> tuple[Tensor, Tensor]:
    """Pose encodings [..., 9] -> poses [..., 3, 4] and intrinsics [..., 3, 3].

    Images have the ``size`` (H, W); poses have the direction that was encoded. ``least_tangent``:
    smallest tangent of half the field of view; None: unlimited.
    """
    h, w = size
    extrinsics = torch.cat([quaternion_to_rotation(pose[..., 3:7]), pose[..., :3, None]], -1)
    tangent = torch.tan(pose[..., 7:] / 2)
    if least_tangent is not None:
        tangent = tangent.clamp(min=least_tangent)
    return extrinsics, _pinhole(w / 2 / tangent[..., 1], h / 2 / tangent[..., 0], size)


def _pinhole(fx: Tensor, fy: Tensor, size: tuple[int, int]) -> Tensor:
    """Intrinsics [..., 3, 3] of focal lengths [...], principal point in the middle of (H, W)."""
    h, w = size
    zero = torch.zeros_like(fx)
    one = torch.ones_like(fx)
    k = torch.stack([fx, zero, one * (w / 2), zero, fy, one * (h / 2), zero, zero, one], -1)
    return k.unflatten(-1, (3, 3))


def unproject(depth: Tensor, extrinsics: Tensor, intrinsics: Tensor) -> Tensor:
    """z-depth [..., H, W] -> world points [..., H, W, 3].

    With extrinsics [..., 3, 4] (world to camera) and intrinsics [..., 3, 3]. Pixel (u, v) is the
    integer index, as in the official code.
    """
    h, w = depth.shape[-2:]
    v, u = torch.meshgrid(
        torch.arange(h, dtype=depth.dtype, device=depth.device),
        torch.arange(w, dtype=depth.dtype, device=depth.device),
        indexing="ij",
    )
    k = intrinsics[..., None, None, :, :]
    x = (u - k[..., 0, 2]) / k[..., 0, 0] * depth
    y = (v - k[..., 1, 2]) / k[..., 1, 1] * depth
    camera = torch.stack([x, y, depth], -1) - extrinsics[..., None, None, :, 3]
    return torch.einsum("...ji,...hwj->...hwi", extrinsics[..., :3], camera)


def rigid_inverse(pose: Tensor) -> Tensor:
    """Inverse [..., 4, 4] of rigid motions [..., 4, 4]."""
    rotation = pose[..., :3, :3].mT
    shift = -(rotation * pose[..., None, :3, 3]).sum(-1, keepdim=True)
    top = torch.cat([rotation, shift], -1)
    return torch.cat([top, pose[..., 3:, :]], -2)


def transform_points(pose: Tensor, points: Tensor) -> Tensor:
    """Maps of points [B, S, H, W, 3] moved by ``pose`` [B, S, 4, 4]."""
    moved = points.flatten(2, 3) @ pose[..., :3, :3].mT + pose[..., None, :3, 3]
    return moved.view_as(points)


def pinhole_from_points(points: Tensor, weight: Tensor) -> Tensor:
    """Intrinsics [B, S, 3, 3] in pixels that fit camera-frame ``points`` best.

    Least squares per view and axis over ``points`` [B, S, H, W, 3], pixels weighted by ``weight``
    [B, S, H, W]; principal point in the middle.
    """
    h, w = points.shape[2:4]
    v, u = torch.meshgrid(
        torch.arange(h, dtype=points.dtype, device=points.device) - h / 2,
        torch.arange(w, dtype=points.dtype, device=points.device) - w / 2,
        indexing="ij",
    )
    ray = points[..., :2] / points[..., 2:].clamp(min=1e-6)
    focal = []
    for axis, pixel in ((0, u), (1, v)):
        r = ray[..., axis]
        norm = (weight * r * r).sum((2, 3)).clamp(min=1e-12)
        focal.append((weight * r * pixel).sum((2, 3)) / norm)
    return _pinhole(focal[0], focal[1], (h, w))


def camera_points(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """z-depth [B, S, H, W] -> points in each camera's frame [B, S, H, W, 3].

    With ``intrinsics`` [B, S, 3, 3].
    """
    return camera_rays(intrinsics, depth.shape[-2:], depth.shape[-2:]) * depth[..., None]


def camera_rays(intrinsics: Tensor, size: tuple[int, ...], grid: tuple[int, ...]) -> Tensor:
    """Directions with unit z-depth [B, S, *grid, 3] through a ``grid`` of points.

    The grid spans images of ``size`` (H, W) with ``intrinsics`` [B, S, 3, 3].
    """
    device = intrinsics.device
    v = torch.linspace(0, size[0] - 1, grid[0], device=device)[:, None].expand(*grid)
    u = torch.linspace(0, size[1] - 1, grid[1], device=device)[None].expand(*grid)
    k = intrinsics[..., None, None, :, :]
    x = (u - k[..., 0, 2]) / k[..., 0, 0]
    y = (v - k[..., 1, 2]) / k[..., 1, 1]
    return torch.stack([x, y, torch.ones_like(x)], -1)
