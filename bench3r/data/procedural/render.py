"""Ray casting of procedural worlds with Embree: colour, exact z-depth and the hit part, on one CPU core."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from bench3r.data.procedural.texture import colours
from bench3r.data.procedural.world import BUILDERS, World, camera_path

FAR = 1.0e4


@dataclass
class Views:
    """Rendered views of one world. OpenCV axes, pixel (u, v) is the integer index; depth 0 where nothing is hit."""

    images: np.ndarray  # [S, H, W, 3] uint8
    depth: np.ndarray  # [S, H, W] float32, metres along z
    intrinsics: np.ndarray  # [S, 3, 3] float64, pixels
    c2w: np.ndarray  # [S, 4, 4] float64


class Caster:
    """First hits of rays with the parts of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.scene = EmbreeScene()
        self.keep = [TriangleMesh(self.scene, m.triangles.astype(np.float32)) for m in world.meshes]

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> dict[str, np.ndarray]:
        """Hits of rays [N, 3]: tfar, geomID (-1: none) and Ng, as Embree names them."""
        return self.scene.run(
            origins.astype(np.float32),
            directions.astype(np.float32),
            query="INTERSECT",
            output=True,
        )

    def shade(
        self, points: np.ndarray, part: np.ndarray, normals: np.ndarray, eye: np.ndarray
    ) -> np.ndarray:
        """Colours [N, 3]: texture, one directional light with hard shadows, ambient light. Nothing depends on depth."""
        light = self.world.light / np.linalg.norm(self.world.light)
        normals = normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
        normals *= np.where(((eye - points) * normals).sum(1, keepdims=True) < 0, -1, 1)
        lambert = (normals @ light).clip(0)
        if self.world.style != "room":  # rooms are lit through their ceiling
            start = points + 1e-3 * normals + 1e-3 * light
            blocked = self.cast(start, np.broadcast_to(light, points.shape))["geomID"] >= 0
            lambert = np.where(blocked, 0.15 * lambert, lambert)
        fill = (
            0.5 + 0.5 * normals @ np.array([0.5, 0.3, 0.8]) / 0.99
        )  # soft light that tells walls apart
        shading = self.world.ambient * (0.7 + 0.3 * fill) + (1 - self.world.ambient) * lambert
        return colours(self.world.textures, part, points) * shading[:, None]

    def background(self, directions: np.ndarray) -> np.ndarray:
        """Sky colours [N, 3] for rays that hit nothing."""
        if self.world.sky is None:
            return np.zeros((len(directions), 3))
        up = (directions[:, 2] / np.linalg.norm(directions, axis=1)).clip(0, 1)[:, None] ** 0.5
        return (1 - up) * self.world.sky[0] + up * self.world.sky[1]

    def image(
        self, k: np.ndarray, c2w: np.ndarray, size: tuple[int, int], samples: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Colour [H, W, 3] in [0, 1], averaged over samples x samples rays per pixel, and exact depth [H, W]."""
        h, w = size
        offsets = (np.arange(samples) + 0.5) / samples - 0.5
        colour = np.zeros((h * w, 3))
        for dy in offsets:
            for dx in offsets:
                directions = pixel_rays(k, size, dx, dy) @ c2w[:3, :3].T
                colour += self.radiance(c2w[:3, 3], directions)[0]
        if samples == 1:
            depth = self.radiance(c2w[:3, 3], directions)[1]
        else:
            centre = pixel_rays(k, size, 0, 0) @ c2w[:3, :3].T
            hit = self.cast(np.broadcast_to(c2w[:3, 3], centre.shape), centre)
            depth = np.where(hit["geomID"] >= 0, hit["tfar"], 0)
        return colour.reshape(h, w, 3) / samples**2, depth.reshape(h, w).astype(np.float32)

    def radiance(self, eye: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colours [N, 3] and distances [N] (in units of ``directions``) seen from ``eye`` along ``directions``."""
        hit = self.cast(np.broadcast_to(eye, directions.shape), directions)
        seen = (hit["geomID"] >= 0) & (hit["tfar"] < FAR)
        colour = self.background(directions)
        points = eye + directions[seen] * hit["tfar"][seen, None]
        colour[seen] = self.shade(
            points, hit["geomID"][seen], hit["Ng"][seen].astype(np.float64), eye
        )
        return colour, np.where(seen, hit["tfar"], 0)


def pixel_rays(k: np.ndarray, size: tuple[int, int], dx: float, dy: float) -> np.ndarray:
    """Camera rays [H * W, 3] with z = 1 through pixels shifted by (dx, dy), so the hit distance is the z-depth."""
    v, u = np.mgrid[: size[0], : size[1]].reshape(2, -1)
    return np.stack(
        [(u + dx - k[0, 2]) / k[0, 0], (v + dy - k[1, 2]) / k[1, 1], np.ones(u.size)], 1
    )


def make_intrinsics(size: tuple[int, int], fov_degrees: float) -> np.ndarray:
    """Pinhole intrinsics [3, 3] for images (H, W) whose longer side spans ``fov_degrees``; centred."""
    focal = max(size) / 2 / np.tan(np.radians(fov_degrees) / 2)
    return np.array([[focal, 0, (size[1] - 1) / 2], [0, focal, (size[0] - 1) / 2], [0, 0, 1.0]])


def render(
    world: World, k: np.ndarray, poses: np.ndarray, size: tuple[int, int], samples: int = 2
) -> Views:
    """Render ``world`` from the camera-to-world ``poses`` [S, 4, 4] with intrinsics ``k`` [3, 3]."""
    caster = Caster(world)
    pairs = [caster.image(k, pose, size, samples) for pose in poses]
    images = np.stack([np.round(255 * c.clip(0, 1)).astype(np.uint8) for c, _ in pairs])
    return Views(
        images,
        np.stack([d for _, d in pairs]),
        np.broadcast_to(k, (len(poses), 3, 3)).copy(),
        poses,
    )


def usable(depth: np.ndarray, near: float) -> bool:
    """Whether every view [S, H, W] sees enough: 40 % hit, nothing nearer than ``near``, not one flat close surface."""
    for d in depth:
        hit = d > 0
        if hit.mean() < 0.4 or d[hit].min() < near or np.median(d[hit]) < 4 * near:
            return False
    return True


NEAR = {"room": 0.15, "tabletop": 0.15, "outdoor": 0.3}


def make_scene(
    style: str, seed: int, count: int, size: tuple[int, int], samples: int = 2
) -> tuple[World, Views]:
    """World and ``count`` rendered views of ``style``, the same for the same arguments.

    Draws the camera path again (same world) until every view is usable; raises RuntimeError after 30 attempts.
    """
    rng = np.random.default_rng([seed, sorted(BUILDERS).index(style)])
    world = BUILDERS[style](rng)
    caster = Caster(world)
    for _ in range(30):
        k, poses = make_intrinsics(size, rng.uniform(50, 70)), camera_path(world, rng, count)
        small = (max(8, size[0] // 4), max(8, size[1] // 4))
        scaled = np.diag([small[1] / size[1], small[0] / size[0], 1]) @ k
        rays = pixel_rays(scaled, small, 0, 0)
        depth = np.stack(
            [_depth(caster, rays @ p[:3, :3].T, p[:3, 3]).reshape(small) for p in poses]
        )
        if usable(depth, NEAR[style]):
            return world, render(world, k, poses, size, samples)
    raise RuntimeError(f"no usable camera path in 30 attempts for {style} seed {seed}")


def _depth(caster: Caster, directions: np.ndarray, eye: np.ndarray) -> np.ndarray:
    hit = caster.cast(np.broadcast_to(eye, directions.shape), directions)
    return np.where((hit["geomID"] >= 0) & (hit["tfar"] < FAR), hit["tfar"], 0)
