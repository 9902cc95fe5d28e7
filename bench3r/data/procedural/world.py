"""Procedural worlds of three styles with honestly different spatial complexity.

``room`` (indoor): furnished rooms, large flat walls and detailed objects. ``tabletop`` (controlled): one object on a
table under a fixed light. ``outdoor`` (real-world): open scenes with ground, vegetation and buildings under a sky.
z is up, units are metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import trimesh

from bench3r.data.procedural.texture import Texture

STYLES = ("room", "tabletop", "outdoor")
SCENE_TYPE = {"room": "indoor", "tabletop": "controlled", "outdoor": "real-world"}


@dataclass
class World:
    """Textured meshes, a light and the region that cameras look at."""

    style: str
    meshes: list[trimesh.Trimesh] = field(default_factory=list)
    textures: list[Texture] = field(default_factory=list)
    light: np.ndarray = field(
        default_factory=lambda: np.array([0.3, 0.2, 1.0])
    )  # direction to the light
    ambient: float = 0.45
    sky: tuple[np.ndarray, np.ndarray] | None = None  # colours at horizon and zenith; None: black
    target: np.ndarray = field(default_factory=lambda: np.zeros(3))
    bounds: np.ndarray | None = None  # [2, 3] where cameras may be (rooms)

    def add(
        self,
        mesh: trimesh.Trimesh,
        texture: Texture,
        at: tuple[float, float, float] = (0, 0, 0),
        turn: float = 0,
    ):
        """Add ``mesh`` turned by ``turn`` radians about z, then moved to ``at``."""
        mesh.apply_transform(trimesh.transformations.rotation_matrix(turn, [0, 0, 1]))
        mesh.apply_translation(at)
        self.meshes.append(mesh)
        self.textures.append(texture)

    def merged(self) -> Any:
        """All parts as one mesh (trimesh.Trimesh)."""
        return trimesh.util.concatenate(self.meshes)


def _box(x: float, y: float, z: float) -> trimesh.Trimesh:
    """Box standing on z = 0, centred in x and y."""
    mesh = trimesh.creation.box((x, y, z))
    mesh.apply_translation((0, 0, z / 2))
    return mesh


def _blob(
    rng: np.random.Generator, radius: float, roughness: float, subdivisions: int = 3
) -> trimesh.Trimesh:
    """Sphere displaced by a few random waves."""
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
    v = np.asarray(mesh.vertices)
    for frequency in (2.0, 4.0, 8.0):
        direction = rng.normal(size=(3, 3)) * frequency
        v = v * (
            1
            + roughness
            / frequency
            * np.sin(v @ direction + rng.uniform(0, 6, 3)).mean(1, keepdims=True)
            * 2
        )
    mesh.vertices = v * radius
    return mesh


def _legs(
    world: World, texture: Texture, at: np.ndarray, size: tuple[float, float, float], turn: float
) -> None:
    """Four legs of height size[2] under a size[0] x size[1] plate."""
    c, s = np.cos(turn), np.sin(turn)
    for sx in (-1, 1):
        for sy in (-1, 1):
            dx, dy = sx * (size[0] / 2 - 0.05), sy * (size[1] / 2 - 0.05)
            world.add(
                _box(0.06, 0.06, size[2]),
                texture,
                (at[0] + c * dx - s * dy, at[1] + s * dx + c * dy, at[2]),
            )


def _table(world: World, rng: np.random.Generator, at: np.ndarray, turn: float) -> None:
    x, y, z = rng.uniform(0.8, 1.6), rng.uniform(0.6, 0.9), rng.uniform(0.45, 0.8)
    texture = Texture.random(rng, ("noise", "stripes"))
    world.add(_box(x, y, 0.05), texture, (at[0], at[1], z), turn)
    _legs(world, texture, np.array([at[0], at[1], 0.0]), (x, y, z), turn)
    for _ in range(rng.integers(2, 6)):
        offset = rng.uniform(-0.35, 0.35, 2) * (x, y)
        world.add(
            _small(rng), Texture.random(rng, scale=(0.03, 0.15)), (*(at[:2] + offset), z + 0.05)
        )


def _small(rng: np.random.Generator) -> trimesh.Trimesh:
    """A table-top thing: box, bottle, ball, ring or irregular lump, 6 to 30 cm, standing on z = 0."""
    kind, r = rng.integers(5), rng.uniform(0.05, 0.12)
    if kind == 0:
        return _box(*rng.uniform(0.08, 0.3, 3))
    if kind == 1:
        mesh = trimesh.creation.cylinder(r * 0.7, rng.uniform(0.12, 0.35), sections=20)
    elif kind == 2:
        mesh = trimesh.creation.icosphere(subdivisions=2, radius=r)
    elif kind == 3:
        mesh = trimesh.creation.torus(r, r * 0.35, major_sections=20, minor_sections=10)
    else:
        mesh = _blob(rng, r, 0.5, 2)
    mesh.apply_translation((0, 0, -mesh.bounds[0, 2]))
    return mesh


def _chair(world: World, rng: np.random.Generator, at: np.ndarray, turn: float) -> None:
    width, height = rng.uniform(0.4, 0.55), rng.uniform(0.4, 0.5)
    texture = Texture.random(rng, scale=(0.05, 0.3))
    world.add(_box(width, width, 0.06), texture, (at[0], at[1], height), turn)
    _legs(world, texture, np.array([at[0], at[1], 0.0]), (width, width, height), turn)
    back = np.array([np.cos(turn), np.sin(turn)]) * (width / 2 - 0.03)
    world.add(_box(0.05, width, 0.5), texture, (at[0] + back[0], at[1] + back[1], height), turn)


def _sofa(world: World, rng: np.random.Generator, at: np.ndarray, turn: float) -> None:
    length, texture = rng.uniform(1.3, 2.1), Texture.random(rng, scale=(0.06, 0.4))
    c, s = np.cos(turn), np.sin(turn)
    world.add(_box(0.8, length, 0.42), texture, (at[0], at[1], 0.0), turn)
    world.add(_box(0.2, length, 0.85), texture, (at[0] - 0.4 * c, at[1] - 0.4 * s, 0.0), turn)
    for side in (-1, 1):
        d = side * length / 2
        world.add(_box(0.8, 0.2, 0.6), texture, (at[0] - s * d, at[1] + c * d, 0.0), turn)


def _shelf(world: World, rng: np.random.Generator, at: np.ndarray, turn: float) -> None:
    width, height, depth = rng.uniform(0.7, 1.3), rng.uniform(1.2, 2.0), 0.32
    texture, levels = Texture.random(rng, ("noise", "stripes", "plain")), int(rng.integers(3, 6))
    c, s = np.cos(turn), np.sin(turn)
    for side in (-1, 1):
        d = side * width / 2
        world.add(_box(depth, 0.04, height), texture, (at[0] - s * d, at[1] + c * d, 0.0), turn)
    for level in range(levels + 1):
        z = level * (height - 0.04) / levels
        world.add(_box(depth, width, 0.04), texture, (at[0], at[1], z), turn)
        if level == levels:
            break
        for _ in range(rng.integers(1, 4)):
            d = rng.uniform(-0.4, 0.4) * width
            book = _box(
                rng.uniform(0.1, 0.25),
                rng.uniform(0.04, 0.2),
                rng.uniform(0.1, 0.8 * height / levels),
            )
            place = (at[0] - s * d, at[1] + c * d, z + 0.04)
            world.add(book, Texture.random(rng, scale=(0.03, 0.2)), place, turn)


def _lamp(world: World, rng: np.random.Generator, at: np.ndarray, turn: float) -> None:
    height, texture = rng.uniform(1.1, 1.7), Texture.random(rng, ("plain", "noise"))
    world.add(
        trimesh.creation.cylinder(0.03, height, sections=10), texture, (at[0], at[1], height / 2)
    )
    shade = trimesh.creation.cone(rng.uniform(0.18, 0.3), rng.uniform(0.25, 0.4), sections=20)
    world.add(shade, Texture.random(rng, scale=(0.05, 0.2)), (at[0], at[1], height - 0.1))
    world.add(trimesh.creation.cylinder(0.16, 0.04, sections=16), texture, (at[0], at[1], 0.02))


FURNITURE: tuple[Callable[..., None], ...] = (_table, _chair, _sofa, _shelf, _lamp, _chair, _table)


def room(rng: np.random.Generator) -> World:
    """Furnished room with pictures, a window and four to nine pieces of furniture."""
    x, y, z = rng.uniform(3.2, 5.5), rng.uniform(3.2, 5.5), rng.uniform(2.4, 3.0)
    world = World("room", light=rng.normal([0, 0, 1.5], 0.5), ambient=rng.uniform(0.5, 0.7))
    wall = Texture.random(rng, ("plain", "noise", "stripes", "bricks", "speckle"), (0.2, 1.2))
    for size, at in (
        ((x, y, 0.1), (0, 0, -0.1)),
        ((x, y, 0.1), (0, 0, z)),
        ((0.1, y, z), (-x / 2, 0, 0)),
        ((0.1, y, z), (x / 2, 0, 0)),
        ((x, 0.1, z), (0, -y / 2, 0)),
        ((x, 0.1, z), (0, y / 2, 0)),
    ):
        flat = size[2] == 0.1
        texture = Texture.random(rng, scale=(0.15, 0.8)) if flat or rng.random() < 0.3 else wall
        world.add(_box(*size), texture, at)
    for _ in range(rng.integers(3, 8)):  # pictures, windows, boards: thin boxes on the walls
        w, h, side = rng.uniform(0.3, 1.2), rng.uniform(0.3, 1.0), int(rng.integers(4))
        along = rng.uniform(-0.35, 0.35) * (y if side < 2 else x)
        sign, height = (-1, 1)[side % 2], rng.uniform(0.8, max(0.9, z - h - 0.2))
        texture = Texture.random(rng, scale=(0.06, 0.5))
        if side < 2:
            world.add(_box(0.04, w, h), texture, (sign * (x / 2 - 0.06), along, height))
        else:
            world.add(_box(w, 0.04, h), texture, (along, sign * (y / 2 - 0.06), height))
    for _ in range(rng.integers(4, 10)):
        spot = rng.uniform(-0.42, 0.42, 2) * (x, y)
        FURNITURE[rng.integers(len(FURNITURE))](world, rng, spot, rng.uniform(0, 2 * np.pi))
    world.target = np.array([*rng.uniform(-0.15, 0.15, 2) * (x, y), rng.uniform(0.6, 1.0)])
    world.bounds = np.array(
        [[-x / 2 + 0.35, -y / 2 + 0.35, 0.9], [x / 2 - 0.35, y / 2 - 0.35, min(2.0, z - 0.3)]]
    )
    return world


def tabletop(rng: np.random.Generator) -> World:
    """One object made of three to eight parts on a table, lit from a fixed direction, black background."""
    world = World("tabletop", light=np.array([0.4, -0.3, 1.0]), ambient=0.4)
    world.add(
        _box(rng.uniform(1.0, 1.6), rng.uniform(1.0, 1.6), 0.05),
        Texture.random(rng, scale=(0.05, 0.25)),
        (0, 0, -0.05),
        rng.uniform(0, 6.28),
    )
    height = 0.0
    for _ in range(rng.integers(3, 9)):
        kind, r = rng.integers(5), rng.uniform(0.05, 0.14)
        if kind == 0:
            mesh = trimesh.creation.box(rng.uniform(0.08, 0.25, 3))
        elif kind == 1:
            mesh = trimesh.creation.cylinder(r, rng.uniform(0.06, 0.25), sections=32)
        elif kind == 2:
            mesh = trimesh.creation.torus(r + 0.03, 0.035, major_sections=40, minor_sections=16)
        elif kind == 3:
            mesh = trimesh.creation.capsule(rng.uniform(0.05, 0.2), r * 0.6, count=[16, 16])
        else:
            mesh = _blob(rng, r, 0.6)
        mesh.apply_transform(trimesh.transformations.random_rotation_matrix(rng.random(3)))
        at = np.array([*rng.normal(0, 0.07, 2), height - mesh.bounds[0, 2]])
        world.add(mesh, Texture.random(rng, scale=(0.03, 0.15)), tuple(at))
        height += rng.uniform(0.2, 0.6) * (mesh.bounds[1, 2] - mesh.bounds[0, 2])
    world.target = np.array([0, 0, 0.45 * height])
    return world


def _ground(rng: np.random.Generator, size: float = 40.0, cells: int = 72) -> trimesh.Trimesh:
    """Hilly ground, flat near the origin."""
    line = np.sign(np.linspace(-1, 1, cells)) * np.abs(np.linspace(-1, 1, cells)) ** 1.6 * size / 2
    x, y = np.meshgrid(line, line, indexing="ij")
    z = sum(
        a * np.sin(x * f * np.cos(t) + y * f * np.sin(t) + p)
        for a, f, t, p in zip(
            (0.05, 0.15, 0.6),
            (2.1, 0.8, 0.25),
            rng.uniform(0, 6, 3),
            rng.uniform(0, 6, 3),
            strict=True,
        )
    ) * np.clip((np.hypot(x, y) - 1) / 6, 0.05, 1)
    index = np.arange(cells * cells).reshape(cells, cells)
    a, b, c, d = (
        index[:-1, :-1].ravel(),
        index[1:, :-1].ravel(),
        index[:-1, 1:].ravel(),
        index[1:, 1:].ravel(),
    )
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    return trimesh.Trimesh(np.stack([x, y, z], -1).reshape(-1, 3), faces, process=False)


def _tree(world: World, rng: np.random.Generator, at: np.ndarray) -> None:
    height, radius = rng.uniform(1.0, 2.5), rng.uniform(0.08, 0.2)
    trunk = trimesh.creation.cylinder(radius, height, sections=12)
    world.add(trunk, Texture.random(rng, ("noise", "stripes"), (0.05, 0.2)), (*at, height / 2))
    leaf = Texture.random(rng, ("speckle", "noise"), (0.08, 0.3))
    for _ in range(rng.integers(2, 5)):
        r = rng.uniform(0.4, 0.9)
        world.add(
            _blob(rng, r, 0.7),
            leaf,
            (*(at + rng.normal(0, 0.3, 2)), height + rng.uniform(-0.1, 0.6)),
        )


def _bench(world: World, rng: np.random.Generator, at: np.ndarray) -> None:
    turn, texture = rng.uniform(0, 6.28), Texture.random(rng, ("stripes", "noise"), (0.05, 0.3))
    c, s = np.cos(turn), np.sin(turn)
    world.add(_box(0.5, 1.5, 0.06), texture, (*at, 0.45), turn)
    world.add(_box(0.06, 1.5, 0.5), texture, (at[0] - 0.25 * c, at[1] - 0.25 * s, 0.5), turn)
    _legs(world, texture, np.array([*at, 0.0]), (0.5, 1.5, 0.45), turn)


def _centre_piece(world: World, rng: np.random.Generator) -> None:
    kind, at = rng.integers(4), rng.normal(0, 0.15, 2)
    if kind == 0:
        _bench(world, rng, at)
    elif kind == 1:
        world.add(
            _blob(rng, rng.uniform(0.4, 0.8), 0.6, 4),
            Texture.random(rng, ("noise", "speckle")),
            (*at, 0.35),
        )
    elif kind == 2:
        stump = trimesh.creation.cylinder(
            rng.uniform(0.25, 0.5), rng.uniform(0.4, 0.9), sections=24
        )
        world.add(stump, Texture.random(rng, ("noise", "stripes"), (0.05, 0.2)), (*at, 0.3))
    else:
        for i in range(rng.integers(3, 6)):
            world.add(
                _box(*rng.uniform(0.3, 0.7, 3)),
                Texture.random(rng),
                (*rng.normal(0, 0.35, 2), 0.25 * i),
                rng.uniform(0, 6.28),
            )


def outdoor(rng: np.random.Generator) -> World:
    """Open scene: hilly ground, a centre piece, bushes, rocks, trees and far buildings under a sky."""
    sun = np.array([*rng.normal(0, 0.6, 2), 1.0])
    world = World("outdoor", light=sun, ambient=rng.uniform(0.4, 0.6))
    world.sky = (rng.uniform(0.6, 0.95, 3), rng.uniform([0.2, 0.4, 0.6], [0.5, 0.7, 1.0]))
    world.add(_ground(rng), Texture.random(rng, ("noise", "speckle"), (0.15, 0.6)))
    _centre_piece(world, rng)
    for _ in range(rng.integers(5, 14)):
        angle, radius = rng.uniform(0, 6.28), rng.uniform(0.8, 5)
        at = radius * np.array([np.cos(angle), np.sin(angle)])
        size = rng.uniform(0.1, 0.45)
        world.add(
            _blob(rng, size, 0.8),
            Texture.random(rng, ("speckle", "noise"), (0.05, 0.3)),
            (*at, 0.5 * size),
        )
    for _ in range(rng.integers(3, 8)):
        angle, radius = rng.uniform(0, 6.28), rng.uniform(4, 9)
        _tree(world, rng, radius * np.array([np.cos(angle), np.sin(angle)]))
    for _ in range(rng.integers(2, 6)):
        angle, radius = rng.uniform(0, 6.28), rng.uniform(8, 17)
        at = radius * np.array([np.cos(angle), np.sin(angle)])
        house = _box(*rng.uniform(2, 6, 3))
        world.add(
            house,
            Texture.random(rng, ("bricks", "checker", "stripes", "noise"), (0.4, 1.6)),
            (*at, -0.5),
            angle,
        )
    world.target = np.array([0, 0, 0.5])
    return world


BUILDERS = {"room": room, "tabletop": tabletop, "outdoor": outdoor}


def look_at(eye: np.ndarray, target: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """Camera-to-world [4, 4] (OpenCV axes) of a camera at ``eye`` looking at ``target``, z up, rolled by ``roll``."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([c * right + s * down, c * down - s * right, forward], 1)
    pose[:3, 3] = eye
    return pose


# (distance to the target, elevation in degrees, total arc in degrees) of the camera path, each a range
PATHS = {
    "room": ((1.3, 2.6), (8, 35), (25, 90)),
    "tabletop": ((0.65, 0.95), (20, 55), (25, 90)),
    "outdoor": ((2.2, 4.2), (10, 35), (25, 110)),
}


SLOWEST = 0.1  # smallest share of the full arc that a path covers


def camera_path(world: World, rng: np.random.Generator, count: int) -> np.ndarray:
    """``count`` camera-to-world poses [count, 4, 4]: a jittered arc round the target, looking near it.

    The pace of a path, log-uniform in [SLOWEST, 1], scales its arc and its jitter: some paths are like a few frames of
    a video, others like photographs from all around.
    """
    (near, far), (low, high), (narrow, wide) = PATHS[world.style]
    pace = np.exp(rng.uniform(np.log(SLOWEST), 0))
    start, arc = (
        rng.uniform(0, 2 * np.pi),
        pace * np.radians(rng.uniform(narrow, wide)) * rng.choice([-1, 1]),
    )
    radius, elevation = rng.uniform(near, far), np.radians(rng.uniform(low, high))
    poses = []
    for step in np.linspace(0, 1, count):
        azimuth = start + arc * step + pace * rng.normal(0, 0.03)
        e = elevation + pace * rng.normal(0, 0.06)
        r = radius * np.exp(pace * rng.normal(0, 0.07))
        eye = world.target + r * np.array(
            [np.cos(e) * np.cos(azimuth), np.cos(e) * np.sin(azimuth), np.sin(e)]
        )
        if world.bounds is not None:
            eye = np.clip(eye, *world.bounds)
        aim = world.target + pace * rng.normal(0, 0.12, 3) * radius * np.array([1, 1, 0.6])
        poses.append(look_at(eye, aim, pace * rng.normal(0, 0.05)))
    return np.stack(poses)
