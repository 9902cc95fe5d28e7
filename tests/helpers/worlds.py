"""One synthetic world, a sphere before a wall, that the writers in ``layouts`` put on disk.

Depth is exact (closed-form rays), so what a loader returns can be checked against ground truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

SIZE = (48, 64)
WALL = 2.0  # z of the wall, metres
CENTRE = np.array([0.1, 0.0, 1.6])  # of the sphere
RADIUS = 0.3


@dataclass
class World:
    """Views of the scene."""

    images: np.ndarray  # [N, H, W, 3]
    depth: np.ndarray  # [N, H, W] m, 0 = none
    c2w: np.ndarray  # [N, 4, 4]
    k: np.ndarray  # [3, 3]
    kept: list[int] = field(default_factory=list)  # views that the loader must return


def intrinsics(size: tuple[int, int] = SIZE, focal: float = 55.0) -> np.ndarray:
    """Centre in the middle of the pixel grid."""
    return np.array([[focal, 0, (size[1] - 1) / 2], [0, focal, (size[0] - 1) / 2], [0, 0, 1]])


def cameras(count: int) -> np.ndarray:
    """Camera to world [N, 4, 4] on an arc, looking at the sphere."""
    out = []
    for i in range(count):
        centre = np.array([0.08 * (i % 6) - 0.2, 0.03 * (-1) ** i, 0.002 * i])
        z = (CENTRE - centre) / np.linalg.norm(CENTRE - centre)
        x = np.cross([0.0, 1.0, 0.0], z)
        x /= np.linalg.norm(x)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([x, np.cross(z, x), z], 1)
        pose[:3, 3] = centre
        out.append(pose)
    return np.stack(out)


def pinhole_rays(size: tuple[int, int], k: np.ndarray) -> np.ndarray:
    """Rays [H, W, 3] through the pixels, with unit depth."""
    v, u = np.mgrid[: size[0], : size[1]]
    x = (u - k[0, 2]) / k[0, 0]
    y = (v - k[1, 2]) / k[1, 1]
    return np.stack([x, y, np.ones(u.shape)], -1)


def fisheye_rays(size: tuple[int, int], k: np.ndarray) -> np.ndarray:
    """Rays [H, W, 3] of a lens whose pixels are proportional to the angle from the axis."""
    rays = pinhole_rays(size, k)
    angle = np.linalg.norm(rays[..., :2], axis=-1, keepdims=True)
    rays[..., :2] *= np.tan(angle) / np.maximum(angle, 1e-12)
    return rays


def build(
    count: int = 6,
    size: tuple[int, int] = SIZE,
    k: np.ndarray | None = None,
    rays: np.ndarray | None = None,
) -> World:
    """The world seen by ``count`` cameras; ``rays`` [H, W, 3]: of any lens, with unit depth."""
    k = intrinsics(size) if k is None else k
    rays = pinhole_rays(size, k) if rays is None else rays
    poses = cameras(count)
    images = []
    maps = []
    for pose in poses:
        image, depth = view(pose, rays)
        images.append(image)
        maps.append(depth)
    return World(np.stack(images), np.stack(maps), poses, k, list(range(count)))


def view(pose: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image [H, W, 3] and z-depth [H, W] along camera ``rays`` [H, W, 3] of unit depth."""
    origin = pose[:3, 3]
    along = rays @ pose[:3, :3].T  # a ray's length is its z-depth
    wall = (WALL - origin[2]) / along[..., 2]
    a = (along**2).sum(-1)
    b = (along * (origin - CENTRE)).sum(-1)
    inside = b**2 - a * (((origin - CENTRE) ** 2).sum() - RADIUS**2)
    ball = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)
    z = np.minimum(np.where(wall > 0, wall, np.inf), np.where(ball > 0, ball, np.inf))
    points = origin + along * z[..., None]
    checker = (np.floor(points * 8).sum(-1) % 2 * 150 + 50).astype(np.uint8)
    what = np.where(ball < wall, 200, 80).astype(np.uint8)
    return np.stack([checker, what, 255 - checker], -1), z


def surface(count: int = 4000) -> np.ndarray:
    """Points [N, 3] of the wall and of the sphere's near side, metres."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, count)
    y = rng.uniform(-2, 2, count)
    wall = np.column_stack([x, y, np.full(count, WALL)])
    ball = rng.normal(size=(count, 3))
    ball = CENTRE + RADIUS * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    return np.concatenate([wall, ball[ball[:, 2] < CENTRE[2]]])


def in_millimetres(world: World) -> World:
    world.depth = 1000 * world.depth
    world.c2w = world.c2w.copy()
    world.c2w[:, :3, 3] *= 1000
    return world


def png16(path: Path, depth: np.ndarray, scale: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(depth * scale).astype(np.uint16)).save(path)


def picture(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def quaternion_row(pose: np.ndarray) -> str:
    """ "tx ty tz qx qy qz qw"."""
    quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat()
    return " ".join(f"{v:.8f}" for v in [*pose[:3, 3], *quaternion])
