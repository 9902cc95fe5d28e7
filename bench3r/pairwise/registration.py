"""Closed-form pieces of alignment: similarity, focal length from points, pose from points."""

from __future__ import annotations

import numpy as np
import pycolmap
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation
from torch import Tensor

PNP_PIXELS = 5.0  # reprojection error of an inlier


def pixel_grid(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Pixel coordinates [H, W, 2] as (x, y), integers at pixel centres."""
    rows = torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], -1).float()


def procrustes(source: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale [], rotation [3, 3] and shift [3] that carry ``source`` [N, 3] to ``target`` [N, 3].

    With least weighted squares; ``weight`` [N] is not negative. Umeyama's solution (1991), without
    reflection, in float64.
    """
    p = source.double()
    q = target.double()
    w = weight.double()
    w = w / w.sum().clamp(min=1e-300)
    mean_p = (w[:, None] * p).sum(0)
    mean_q = (w[:, None] * q).sum(0)
    p = p - mean_p
    q = q - mean_q
    u, s, vt = torch.linalg.svd((w[:, None] * q).T @ p)
    sign = torch.ones(3, dtype=p.dtype, device=p.device)
    sign[2] = torch.sign(torch.linalg.det(u @ vt))
    rotation = u @ torch.diag(sign) @ vt
    scale = (s * sign).sum() / (w[:, None] * p * p).sum().clamp(min=1e-300)
    shift = mean_q - scale * rotation @ mean_p
    return scale.to(source), rotation.to(source), shift.to(source)


def focal_by_weiszfeld(
    points: Tensor, weight: Tensor | None = None, iterations: int = 10
) -> Tensor:
    """Focal length [] in pixels of a camera that sees ``points`` [H, W, 3] in its own frame.

    Least sum of distances between pixels and projections, by reweighted least squares; square
    pixels, principal point in the middle. ``weight`` [H, W]: more or less say for a pixel.
    """
    height, width = points.shape[:2]
    middle = torch.tensor([width / 2, height / 2], device=points.device)
    pixel = (pixel_grid(height, width, points.device) - middle).flatten(0, 1)
    flat = points.flatten(0, 1)
    ray = (flat[:, :2] / flat[:, 2:]).nan_to_num(posinf=0, neginf=0)
    dot = (ray * pixel).sum(-1)
    square = (ray * ray).sum(-1)
    given = torch.ones_like(dot) if weight is None else weight.flatten()
    focal = (given * dot).sum() / (given * square).sum()
    for _ in range(iterations):
        w = given / (pixel - focal * ray).norm(dim=-1).clamp(min=1e-8)
        focal = (w * dot).sum() / (w * square).sum()
    return focal


def pose_by_pnp(points: Tensor, focal: float, keep: Tensor) -> Tensor | None:
    """Camera to world [4, 4] from world ``points`` [H, W, 3] of the pixels ``keep`` [H, W].

    None where there is none. Inliers by RANSAC over minimal poses (seeded), then
    :func:`least_squares_pose` on them; principal point in the middle.
    """
    height, width = points.shape[:2]
    if int(keep.sum()) < 4 or not np.isfinite(focal):
        return None
    pixel = pixel_grid(height, width)[keep.cpu()].double().numpy()
    parameters = [focal, width / 2, height / 2]
    camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=width, height=height, params=parameters)
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.max_error = PNP_PIXELS
    options.ransac.random_seed = 0
    world = points.detach().cpu()[keep.cpu()].double().numpy()
    found = pycolmap.estimate_absolute_pose(pixel, world, camera, options)
    if found is None:
        return None
    inliers = np.asarray(found["inlier_mask"], bool)
    ray = (pixel[inliers] - [width / 2, height / 2]) / focal
    start = np.array(found["cam_from_world"].rotation.matrix())
    rotation, shift = least_squares_pose(world[inliers], ray, start)
    pose = np.eye(4)
    pose[:3, :3] = rotation.T
    pose[:3, 3] = -rotation.T @ shift
    return torch.from_numpy(pose).to(points)


def least_squares_pose(
    world: np.ndarray, ray: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """World to camera, rotation [3, 3] and shift [3], near the rotation ``start`` [3, 3].

    For points ``world`` [N, 3] seen at ``ray`` [N, 2]. Least squares of x_camera - ray * z_camera,
    the cost of SQPnP (Terzakis and Lourakis 2020): the shift follows from the rotation, over which
    a quadratic form of its nine entries is minimised.
    """
    zero = np.zeros_like(world)
    one = np.ones(len(world))
    rows = []  # of the map from (r11 ... r33) to the two residuals of a point
    shifts = []
    for axis in (0, 1):
        block = [zero, zero, -ray[:, axis, None] * world]
        block[axis] = world
        rows.append(np.concatenate(block, 1))
        t = [0 * one, 0 * one, -ray[:, axis]]
        t[axis] = one
        shifts.append(np.stack(t, 1))
    a = np.concatenate(rows)
    b = np.concatenate(shifts)
    to_shift = -np.linalg.solve(b.T @ b, b.T @ a)  # [3, 9]
    left = a + b @ to_shift
    value, vector = np.linalg.eigh(left.T @ left)
    root = np.sqrt(value.clip(min=0))[:, None] * vector.T

    def residual(turn: np.ndarray) -> np.ndarray:
        return root @ (Rotation.from_rotvec(turn).as_matrix() @ start).ravel()

    turn = least_squares(residual, np.zeros(3), xtol=1e-14, ftol=1e-14, gtol=1e-14).x
    rotation = Rotation.from_rotvec(turn).as_matrix() @ start
    return rotation, to_shift @ rotation.ravel()
