"""Ray casting of procedural worlds with Embree: colour and exact z-depth, on one CPU core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from bench3r.data.poses import pinhole
from bench3r.data.procedural.cameras import camera_path
from bench3r.data.procedural.styles import BUILDERS
from bench3r.data.procedural.texture import colours
from bench3r.data.procedural.world import World

FAR = 1.0e4  # metres; a hit beyond is none
FILL = np.array([0.5, 0.3, 0.8])  # direction of the soft light that tells walls apart
NEAR = {"room": 0.15, "tabletop": 0.15, "outdoor": 0.3}  # metres that a camera keeps from surfaces
ATTEMPTS = 30  # camera paths drawn in a world until one is usable


@dataclass
class Views:
    """Rendered views of one world, OpenCV axes; pixel (u, v) is the integer index."""

    images: np.ndarray  # [S, H, W, 3] uint8
    depth: np.ndarray  # [S, H, W] float32, metres along z; 0 where nothing is hit
    intrinsics: np.ndarray  # [S, 3, 3] float64, pixels
    c2w: np.ndarray  # [S, 4, 4] float64


class Hits(NamedTuple):
    """Where rays first hit a world."""

    distance: np.ndarray  # [N] float32, in lengths of the ray's direction
    part: np.ndarray  # [N] int, -1: none
    normal: np.ndarray  # [N, 3] float32, of any length and either side


class Caster:
    """First hits of rays with the parts of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.scene = EmbreeScene()
        self.keep = [TriangleMesh(self.scene, m.triangles.astype(np.float32)) for m in world.meshes]

    def cast(self, origin: np.ndarray, directions: np.ndarray) -> Hits:
        """Hits of rays along ``directions`` [N, 3] from ``origin`` [3], or from one each [N, 3]."""
        origins = np.broadcast_to(origin, directions.shape).astype(np.float32)
        hit = self.scene.run(origins, directions.astype(np.float32), query="INTERSECT", output=True)
        return Hits(hit["tfar"], hit["geomID"], hit["Ng"])

    def depth(self, eye: np.ndarray, rays: np.ndarray) -> np.ndarray:
        """z-depth [N] along world ``rays`` [N, 3] of unit z-depth from ``eye`` [3]; 0: none."""
        hit = self.cast(eye, rays)
        return np.where((hit.part >= 0) & (hit.distance < FAR), hit.distance, 0)

    def shade(
        self, points: np.ndarray, part: np.ndarray, normals: np.ndarray, eye: np.ndarray
    ) -> np.ndarray:
        """Colours [N, 3] of ``points`` [N, 3] on parts [N] with normals [N, 3], seen from ``eye``.

        Texture, one directional light with hard shadows, ambient light. Nothing depends on depth.
        """
        light = self.world.light / np.linalg.norm(self.world.light)
        normals = normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
        normals *= np.where(((eye - points) * normals).sum(1, keepdims=True) < 0, -1, 1)
        lambert = (normals @ light).clip(0)
        if self.world.style != "room":  # rooms are lit through their ceiling
            start = points + 1e-3 * normals + 1e-3 * light
            blocked = self.cast(start, np.broadcast_to(light, points.shape)).part >= 0
            lambert = np.where(blocked, 0.15 * lambert, lambert)
        fill = 0.5 + 0.5 * normals @ FILL / 0.99
        shading = self.world.ambient * (0.7 + 0.3 * fill) + (1 - self.world.ambient) * lambert
        return colours(self.world.textures, part, points) * shading[:, None]

    def background(self, directions: np.ndarray) -> np.ndarray:
        """Sky colours [N, 3] for ``directions`` [N, 3] of rays that hit nothing."""
        if self.world.sky is None:
            return np.zeros((len(directions), 3))
        up = (directions[:, 2] / np.linalg.norm(directions, axis=1)).clip(0, 1)[:, None] ** 0.5
        return (1 - up) * self.world.sky[0] + up * self.world.sky[1]

    def image(
        self, k: np.ndarray, c2w: np.ndarray, size: tuple[int, int], samples: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Colour [H, W, 3] in [0, 1] and exact z-depth [H, W] of a view of ``size`` (H, W).

        ``k`` [3, 3], ``c2w`` [4, 4]. Colour is the mean of ``samples`` x ``samples`` rays a pixel.
        """
        h, w = size
        eye = c2w[:3, 3]
        offsets = (np.arange(samples) + 0.5) / samples - 0.5
        colour = np.zeros((h * w, 3))
        for dy in offsets:
            for dx in offsets:
                colour += self.radiance(eye, pixel_rays(k, size, dx, dy) @ c2w[:3, :3].T)
        depth = self.depth(eye, pixel_rays(k, size, 0, 0) @ c2w[:3, :3].T)
        return colour.reshape(h, w, 3) / samples**2, depth.reshape(h, w).astype(np.float32)

    def radiance(self, eye: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Colours [N, 3] seen from ``eye`` [3] along ``directions`` [N, 3]."""
        hit = self.cast(eye, directions)
        seen = (hit.part >= 0) & (hit.distance < FAR)
        colour = self.background(directions)
        points = eye + directions[seen] * hit.distance[seen, None]
        colour[seen] = self.shade(points, hit.part[seen], hit.normal[seen].astype(np.float64), eye)
        return colour


def pixel_rays(k: np.ndarray, size: tuple[int, int], dx: float, dy: float) -> np.ndarray:
    """Camera rays [H * W, 3] through the pixels of ``size`` (H, W), shifted by (dx, dy).

    Intrinsics ``k`` [3, 3]. Their z is 1, so the distance of a hit is its z-depth.
    """
    v, u = np.mgrid[: size[0], : size[1]].reshape(2, -1)
    x = (u + dx - k[0, 2]) / k[0, 0]
    y = (v + dy - k[1, 2]) / k[1, 1]
    return np.stack([x, y, np.ones(u.size)], 1)


def make_intrinsics(size: tuple[int, int], fov_degrees: float) -> np.ndarray:
    """Centred intrinsics [3, 3] for images (H, W) whose longer side spans ``fov_degrees``."""
    focal = max(size) / 2 / np.tan(np.radians(fov_degrees) / 2)
    return pinhole(focal, focal, (size[1] - 1) / 2, (size[0] - 1) / 2)


def render(
    world: World, k: np.ndarray, poses: np.ndarray, size: tuple[int, int], samples: int = 2
) -> Views:
    """Views of ``world`` from camera-to-world ``poses`` [S, 4, 4] with intrinsics ``k`` [3, 3]."""
    caster = Caster(world)
    images = []
    maps = []
    for pose in poses:
        colour, depth = caster.image(k, pose, size, samples)
        images.append(np.round(255 * colour.clip(0, 1)).astype(np.uint8))
        maps.append(depth)
    intrinsics = np.broadcast_to(k, (len(poses), 3, 3)).copy()
    return Views(np.stack(images), np.stack(maps), intrinsics, poses)


def usable(depth: np.ndarray, near: float) -> bool:
    """Whether every view of z-depth [S, H, W] sees enough.

    40 % of its rays hit something, nothing is nearer than ``near``, it is not one close surface.
    """
    for d in depth:
        hit = d > 0
        if hit.mean() < 0.4 or d[hit].min() < near or np.median(d[hit]) < 4 * near:
            return False
    return True


def make_scene(
    style: str, seed: int, count: int, size: tuple[int, int], samples: int = 2
) -> tuple[World, Views]:
    """World and ``count`` rendered views of ``style``, the same for the same arguments.

    Draws the camera path again (same world) until every view is usable. Raises RuntimeError after
    ``ATTEMPTS``.
    """
    rng = np.random.default_rng([seed, sorted(BUILDERS).index(style)])
    world = BUILDERS[style](rng)
    caster = Caster(world)
    for _ in range(ATTEMPTS):
        k = make_intrinsics(size, rng.uniform(50, 70))
        poses = camera_path(world, rng, count)
        small = (max(8, size[0] // 4), max(8, size[1] // 4))
        scaled = np.diag([small[1] / size[1], small[0] / size[0], 1]) @ k
        rays = pixel_rays(scaled, small, 0, 0)
        depth = [caster.depth(pose[:3, 3], rays @ pose[:3, :3].T) for pose in poses]
        if usable(np.stack(depth).reshape(count, *small), NEAR[style]):
            return world, render(world, k, poses, size, samples)
    raise RuntimeError(f"no usable camera path in {ATTEMPTS} attempts for {style} seed {seed}")
