"""Furnished rooms: large flat walls and detailed objects."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import trimesh

from bench3r.data.procedural.texture import Texture
from bench3r.data.procedural.world import World, add_legs, beside, blob, box

Furniture = Callable[[World, np.random.Generator, np.ndarray, float], None]
WALL = 0.1  # thickness of walls, floor and ceiling


def _table(world: World, rng: np.random.Generator, at: np.ndarray, turn: float) -> None:
    x = rng.uniform(0.8, 1.6)
    y = rng.uniform(0.6, 0.9)
    z = rng.uniform(0.45, 0.8)
    texture = Texture.random(rng, ("noise", "stripes"))
    world.add(box(x, y, 0.05), texture, (at[0], at[1], z), turn)
    add_legs(world, texture, at, (x, y, z), turn)
    for _ in range(rng.integers(2, 6)):
        on = at[:2] + rng.uniform(-0.35, 0.35, 2) * (x, y)
        thing = _small(rng)
        world.add(thing, Texture.random(rng, scale=(0.03, 0.15)), (on[0], on[1], z + 0.05))


def _small(rng: np.random.Generator) -> trimesh.Trimesh:
    """A thing on a table, 6 to 30 cm, standing on z = 0: box, bottle, ball, ring or lump."""
    kind = rng.integers(5)
    r = rng.uniform(0.05, 0.12)
    if kind == 0:
        return box(*rng.uniform(0.08, 0.3, 3))
    if kind == 1:
        mesh = trimesh.creation.cylinder(r * 0.7, rng.uniform(0.12, 0.35), sections=20)
    elif kind == 2:
        mesh = trimesh.creation.icosphere(subdivisions=2, radius=r)
    elif kind == 3:
        mesh = trimesh.creation.torus(r, r * 0.35, major_sections=20, minor_sections=10)
    else:
        mesh = blob(rng, r, 0.5, 2)
    mesh.apply_translation((0, 0, -mesh.bounds[0, 2]))
    return mesh


def _chair(world: World, rng: np.random.Generator, at: np.ndarray, turn: float) -> None:
    width = rng.uniform(0.4, 0.55)
    height = rng.uniform(0.4, 0.5)
    texture = Texture.random(rng, scale=(0.05, 0.3))
    world.add(box(width, width, 0.06), texture, (at[0], at[1], height), turn)
    add_legs(world, texture, at, (width, width, height), turn)
    back = beside(at, turn, width / 2 - 0.03, 0, height)
    world.add(box(0.05, width, 0.5), texture, back, turn)


def _sofa(world: World, rng: np.random.Generator, at: np.ndarray, turn: float) -> None:
    length = rng.uniform(1.3, 2.1)
    texture = Texture.random(rng, scale=(0.06, 0.4))
    world.add(box(0.8, length, 0.42), texture, (at[0], at[1], 0.0), turn)
    world.add(box(0.2, length, 0.85), texture, beside(at, turn, -0.4, 0, 0.0), turn)
    for side in (-1, 1):
        arm = beside(at, turn, 0, side * length / 2, 0.0)
        world.add(box(0.8, 0.2, 0.6), texture, arm, turn)


def _shelf(world: World, rng: np.random.Generator, at: np.ndarray, turn: float) -> None:
    width = rng.uniform(0.7, 1.3)
    height = rng.uniform(1.2, 2.0)
    depth = 0.32
    texture = Texture.random(rng, ("noise", "stripes", "plain"))
    levels = int(rng.integers(3, 6))
    for side in (-1, 1):
        end = beside(at, turn, 0, side * width / 2, 0.0)
        world.add(box(depth, 0.04, height), texture, end, turn)
    for level in range(levels + 1):
        z = level * (height - 0.04) / levels
        world.add(box(depth, width, 0.04), texture, (at[0], at[1], z), turn)
        if level == levels:
            break
        for _ in range(rng.integers(1, 4)):
            place = beside(at, turn, 0, rng.uniform(-0.4, 0.4) * width, z + 0.04)
            book = _book(rng, 0.8 * height / levels)
            world.add(book, Texture.random(rng, scale=(0.03, 0.2)), place, turn)


def _book(rng: np.random.Generator, tallest: float) -> trimesh.Trimesh:
    deep = rng.uniform(0.1, 0.25)
    wide = rng.uniform(0.04, 0.2)
    return box(deep, wide, rng.uniform(0.1, tallest))


def _lamp(world: World, rng: np.random.Generator, at: np.ndarray, turn: float) -> None:
    height = rng.uniform(1.1, 1.7)
    texture = Texture.random(rng, ("plain", "noise"))
    pole = trimesh.creation.cylinder(0.03, height, sections=10)
    world.add(pole, texture, (at[0], at[1], height / 2))
    shade = trimesh.creation.cone(rng.uniform(0.18, 0.3), rng.uniform(0.25, 0.4), sections=20)
    world.add(shade, Texture.random(rng, scale=(0.05, 0.2)), (at[0], at[1], height - 0.1))
    foot = trimesh.creation.cylinder(0.16, 0.04, sections=16)
    world.add(foot, texture, (at[0], at[1], 0.02))


# chairs and tables are twice as likely as the others
FURNITURE: tuple[Furniture, ...] = (_table, _chair, _sofa, _shelf, _lamp, _chair, _table)


def _shell(world: World, rng: np.random.Generator, x: float, y: float, z: float) -> None:
    """Floor, ceiling and walls of a room of ``x`` by ``y``, ``z`` high."""
    kinds = ("plain", "noise", "stripes", "bricks", "speckle")
    wall = Texture.random(rng, kinds, (0.2, 1.2))
    for size, at in (
        ((x, y, WALL), (0, 0, -WALL)),
        ((x, y, WALL), (0, 0, z)),
        ((WALL, y, z), (-x / 2, 0, 0)),
        ((WALL, y, z), (x / 2, 0, 0)),
        ((x, WALL, z), (0, -y / 2, 0)),
        ((x, WALL, z), (0, y / 2, 0)),
    ):
        own = size[2] == WALL or rng.random() < 0.3  # floor and ceiling have their own texture
        texture = Texture.random(rng, scale=(0.15, 0.8)) if own else wall
        world.add(box(*size), texture, at)


def _picture(world: World, rng: np.random.Generator, x: float, y: float, z: float) -> None:
    """A picture, window or board on one of the walls: a thin box."""
    width = rng.uniform(0.3, 1.2)
    height = rng.uniform(0.3, 1.0)
    side = int(rng.integers(4))
    along = rng.uniform(-0.35, 0.35) * (y if side < 2 else x)
    sign = (-1, 1)[side % 2]
    above = rng.uniform(0.8, max(0.9, z - height - 0.2))
    texture = Texture.random(rng, scale=(0.06, 0.5))
    if side < 2:
        world.add(box(0.04, width, height), texture, (sign * (x / 2 - 0.06), along, above))
    else:
        world.add(box(width, 0.04, height), texture, (along, sign * (y / 2 - 0.06), above))


def room(rng: np.random.Generator) -> World:
    """Furnished room with pictures, a window and four to nine pieces of furniture."""
    x = rng.uniform(3.2, 5.5)
    y = rng.uniform(3.2, 5.5)
    z = rng.uniform(2.4, 3.0)
    light = rng.normal([0, 0, 1.5], 0.5)
    world = World("room", light, ambient=rng.uniform(0.5, 0.7))
    _shell(world, rng, x, y, z)
    for _ in range(rng.integers(3, 8)):
        _picture(world, rng, x, y, z)
    for _ in range(rng.integers(4, 10)):
        spot = rng.uniform(-0.42, 0.42, 2) * (x, y)
        piece = FURNITURE[rng.integers(len(FURNITURE))]
        piece(world, rng, spot, rng.uniform(0, 2 * np.pi))
    middle = rng.uniform(-0.15, 0.15, 2) * (x, y)
    world.target = np.array([*middle, rng.uniform(0.6, 1.0)])
    low = [-x / 2 + 0.35, -y / 2 + 0.35, 0.9]
    high = [x / 2 - 0.35, y / 2 - 0.35, min(2.0, z - 0.3)]
    world.bounds = np.array([low, high])
    return world
