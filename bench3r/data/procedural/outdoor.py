"""Open scenes with ground, vegetation and buildings under a sky."""

from __future__ import annotations

import numpy as np
import trimesh

from bench3r.data.procedural.texture import Texture
from bench3r.data.procedural.world import World, add_legs, beside, blob, box

HILLS = ((0.05, 2.1), (0.15, 0.8), (0.6, 0.25))  # height in metres and frequency of each wave


def _ground(rng: np.random.Generator, size: float = 40.0, cells: int = 72) -> trimesh.Trimesh:
    """Hilly ground, flat near the origin."""
    line = np.linspace(-1, 1, cells)
    line = np.sign(line) * np.abs(line) ** 1.6 * size / 2
    x, y = np.meshgrid(line, line, indexing="ij")
    directions = rng.uniform(0, 6, 3)
    phases = rng.uniform(0, 6, 3)
    z = np.zeros(x.shape)
    for (height, f), t, phase in zip(HILLS, directions, phases, strict=True):
        z += height * np.sin(x * f * np.cos(t) + y * f * np.sin(t) + phase)
    z *= np.clip((np.hypot(x, y) - 1) / 6, 0.05, 1)
    index = np.arange(cells * cells).reshape(cells, cells)
    a = index[:-1, :-1].ravel()
    b = index[1:, :-1].ravel()
    c = index[:-1, 1:].ravel()
    d = index[1:, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    return trimesh.Trimesh(np.stack([x, y, z], -1).reshape(-1, 3), faces, process=False)


def _around(rng: np.random.Generator, near: float, far: float) -> tuple[np.ndarray, float]:
    """A place [2] between ``near`` and ``far`` of the origin, and its direction in radians."""
    angle = rng.uniform(0, 6.28)
    radius = rng.uniform(near, far)
    return radius * np.array([np.cos(angle), np.sin(angle)]), angle


def _tree(world: World, rng: np.random.Generator, at: np.ndarray) -> None:
    height = rng.uniform(1.0, 2.5)
    radius = rng.uniform(0.08, 0.2)
    trunk = trimesh.creation.cylinder(radius, height, sections=12)
    bark = Texture.random(rng, ("noise", "stripes"), (0.05, 0.2))
    world.add(trunk, bark, (at[0], at[1], height / 2))
    leaf = Texture.random(rng, ("speckle", "noise"), (0.08, 0.3))
    for _ in range(rng.integers(2, 5)):
        crown = blob(rng, rng.uniform(0.4, 0.9), 0.7)
        x, y = at + rng.normal(0, 0.3, 2)
        world.add(crown, leaf, (x, y, height + rng.uniform(-0.1, 0.6)))


def _bush(world: World, rng: np.random.Generator) -> None:
    """A bush or a rock."""
    at, _ = _around(rng, 0.8, 5)
    size = rng.uniform(0.1, 0.45)
    mesh = blob(rng, size, 0.8)
    texture = Texture.random(rng, ("speckle", "noise"), (0.05, 0.3))
    world.add(mesh, texture, (at[0], at[1], 0.5 * size))


def _house(world: World, rng: np.random.Generator) -> None:
    at, angle = _around(rng, 8, 17)
    mesh = box(*rng.uniform(2, 6, 3))
    texture = Texture.random(rng, ("bricks", "checker", "stripes", "noise"), (0.4, 1.6))
    world.add(mesh, texture, (at[0], at[1], -0.5), angle)


def _bench(world: World, rng: np.random.Generator, at: np.ndarray) -> None:
    turn = rng.uniform(0, 6.28)
    texture = Texture.random(rng, ("stripes", "noise"), (0.05, 0.3))
    world.add(box(0.5, 1.5, 0.06), texture, (at[0], at[1], 0.45), turn)
    world.add(box(0.06, 1.5, 0.5), texture, beside(at, turn, -0.25, 0, 0.5), turn)
    add_legs(world, texture, at, (0.5, 1.5, 0.45), turn)


def _boxes(world: World, rng: np.random.Generator) -> None:
    """A heap of boxes."""
    for i in range(rng.integers(3, 6)):
        mesh = box(*rng.uniform(0.3, 0.7, 3))
        texture = Texture.random(rng)
        x, y = rng.normal(0, 0.35, 2)
        world.add(mesh, texture, (x, y, 0.25 * i), rng.uniform(0, 6.28))


def _centre_piece(world: World, rng: np.random.Generator) -> None:
    """A bench, a rock, a stump or a heap of boxes."""
    kind = rng.integers(4)
    at = rng.normal(0, 0.15, 2)
    if kind == 0:
        _bench(world, rng, at)
    elif kind == 1:
        rock = blob(rng, rng.uniform(0.4, 0.8), 0.6, 4)
        world.add(rock, Texture.random(rng, ("noise", "speckle")), (at[0], at[1], 0.35))
    elif kind == 2:
        radius = rng.uniform(0.25, 0.5)
        stump = trimesh.creation.cylinder(radius, rng.uniform(0.4, 0.9), sections=24)
        bark = Texture.random(rng, ("noise", "stripes"), (0.05, 0.2))
        world.add(stump, bark, (at[0], at[1], 0.3))
    else:
        _boxes(world, rng)


def outdoor(rng: np.random.Generator) -> World:
    """Hilly ground, a centre piece, bushes, rocks, trees and far buildings under a sky."""
    sun = np.array([*rng.normal(0, 0.6, 2), 1.0])
    world = World("outdoor", light=sun, ambient=rng.uniform(0.4, 0.6))
    horizon = rng.uniform(0.6, 0.95, 3)
    world.sky = (horizon, rng.uniform([0.2, 0.4, 0.6], [0.5, 0.7, 1.0]))
    world.add(_ground(rng), Texture.random(rng, ("noise", "speckle"), (0.15, 0.6)))
    _centre_piece(world, rng)
    for _ in range(rng.integers(5, 14)):
        _bush(world, rng)
    for _ in range(rng.integers(3, 8)):
        at, _ = _around(rng, 4, 9)
        _tree(world, rng, at)
    for _ in range(rng.integers(2, 6)):
        _house(world, rng)
    world.target = np.array([0, 0, 0.5])
    return world
