"""One object on a table under a fixed light."""

from __future__ import annotations

import numpy as np
import trimesh

from bench3r.data.procedural.texture import Texture
from bench3r.data.procedural.world import World, blob, box


def _part(rng: np.random.Generator) -> trimesh.Trimesh:
    """A part of the object, round its own centre: box, cylinder, ring, capsule or lump."""
    kind = rng.integers(5)
    r = rng.uniform(0.05, 0.14)
    if kind == 0:
        return trimesh.creation.box(rng.uniform(0.08, 0.25, 3))
    if kind == 1:
        return trimesh.creation.cylinder(r, rng.uniform(0.06, 0.25), sections=32)
    if kind == 2:
        return trimesh.creation.torus(r + 0.03, 0.035, major_sections=40, minor_sections=16)
    if kind == 3:
        return trimesh.creation.capsule(rng.uniform(0.05, 0.2), r * 0.6, count=[16, 16])
    return blob(rng, r, 0.6)


def tabletop(rng: np.random.Generator) -> World:
    """One object made of three to eight parts on a table, black background."""
    world = World("tabletop", light=np.array([0.4, -0.3, 1.0]), ambient=0.4)
    plate = box(rng.uniform(1.0, 1.6), rng.uniform(1.0, 1.6), 0.05)
    texture = Texture.random(rng, scale=(0.05, 0.25))
    world.add(plate, texture, (0, 0, -0.05), rng.uniform(0, 6.28))
    height = 0.0
    for _ in range(rng.integers(3, 9)):
        mesh = _part(rng)
        mesh.apply_transform(trimesh.transformations.random_rotation_matrix(rng.random(3)))
        x, y = rng.normal(0, 0.07, 2)
        at = (x, y, height - mesh.bounds[0, 2])
        world.add(mesh, Texture.random(rng, scale=(0.03, 0.15)), at)
        height += rng.uniform(0.2, 0.6) * (mesh.bounds[1, 2] - mesh.bounds[0, 2])
    world.target = np.array([0, 0, 0.45 * height])
    return world
