"""Camera paths through procedural worlds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench3r.data.procedural.world import World


class Path(NamedTuple):
    """The ranges from which a style's camera paths are drawn."""

    distance: tuple[float, float]  # to the target, metres
    elevation: tuple[float, float]  # degrees
    arc: tuple[float, float]  # of the whole path, degrees


PATHS = {
    "room": Path((1.3, 2.6), (8, 35), (25, 90)),
    "tabletop": Path((0.65, 0.95), (20, 55), (25, 90)),
    "outdoor": Path((2.2, 4.2), (10, 35), (25, 110)),
}
SLOWEST = 0.1  # smallest share of the full arc that a path covers


def look_at(eye: np.ndarray, target: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """Camera-to-world [4, 4] of a camera at ``eye`` [3] that looks at ``target`` [3].

    OpenCV axes, z of the world is up; rolled by ``roll`` radians.
    """
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c = np.cos(roll)
    s = np.sin(roll)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([c * right + s * down, c * down - s * right, forward], 1)
    pose[:3, 3] = eye
    return pose


def camera_path(world: World, rng: np.random.Generator, count: int) -> np.ndarray:
    """``count`` camera-to-world poses [count, 4, 4]: a jittered arc round the target, looking near.

    The pace of a path, log-uniform in [SLOWEST, 1], scales its arc and its jitter: some paths are
    like a few frames of a video, others like photographs from all around.
    """
    path = PATHS[world.style]
    pace = np.exp(rng.uniform(np.log(SLOWEST), 0))
    start = rng.uniform(0, 2 * np.pi)
    arc = pace * np.radians(rng.uniform(*path.arc)) * rng.choice([-1, 1])
    radius = rng.uniform(*path.distance)
    elevation = np.radians(rng.uniform(*path.elevation))
    poses = []
    for step in np.linspace(0, 1, count):
        azimuth = start + arc * step + pace * rng.normal(0, 0.03)
        e = elevation + pace * rng.normal(0, 0.06)
        r = radius * np.exp(pace * rng.normal(0, 0.07))
        outward = [np.cos(e) * np.cos(azimuth), np.cos(e) * np.sin(azimuth), np.sin(e)]
        eye = world.target + r * np.array(outward)
        if world.bounds is not None:
            eye = np.clip(eye, *world.bounds)
        aim = world.target + pace * rng.normal(0, 0.12, 3) * radius * np.array([1, 1, 0.6])
        poses.append(look_at(eye, aim, pace * rng.normal(0, 0.05)))
    return np.stack(poses)
