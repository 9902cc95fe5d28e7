"""A procedural world: textured meshes under one light. z is up, units are metres."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import trimesh

from bench3r.data.procedural.texture import Texture

Place = tuple[float, float, float]


@dataclass
class World:
    """Textured meshes, a light and the region that cameras look at."""

    style: str
    light: np.ndarray  # [3] direction to the light
    ambient: float
    meshes: list[trimesh.Trimesh] = field(default_factory=list)
    textures: list[Texture] = field(default_factory=list)
    sky: tuple[np.ndarray, np.ndarray] | None = None  # colours at horizon and zenith; None: black
    target: np.ndarray = field(default_factory=lambda: np.zeros(3))  # [3] what cameras look at
    bounds: np.ndarray | None = None  # [2, 3] where cameras may be (rooms)

    def add(
        self, mesh: trimesh.Trimesh, texture: Texture, at: Place = (0, 0, 0), turn: float = 0
    ) -> None:
        """Add ``mesh`` turned by ``turn`` radians about z, then moved to ``at``."""
        mesh.apply_transform(trimesh.transformations.rotation_matrix(turn, [0, 0, 1]))
        mesh.apply_translation(at)
        self.meshes.append(mesh)
        self.textures.append(texture)

    def merged(self) -> trimesh.Trimesh:
        """All parts as one mesh."""
        whole = trimesh.util.concatenate(self.meshes)
        assert isinstance(whole, trimesh.Trimesh)
        return whole


def box(x: float, y: float, z: float) -> trimesh.Trimesh:
    """Box standing on z = 0, centred in x and y."""
    mesh = trimesh.creation.box((x, y, z))
    mesh.apply_translation((0, 0, z / 2))
    return mesh


def blob(
    rng: np.random.Generator, radius: float, roughness: float, subdivisions: int = 3
) -> trimesh.Trimesh:
    """Sphere displaced by a few random waves."""
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
    v = np.asarray(mesh.vertices)
    for frequency in (2.0, 4.0, 8.0):
        direction = rng.normal(size=(3, 3)) * frequency
        phase = rng.uniform(0, 6, 3)
        waves = np.sin(v @ direction + phase).mean(1, keepdims=True)
        v = v * (1 + roughness / frequency * waves * 2)
    mesh.vertices = v * radius
    return mesh


def beside(at: np.ndarray, turn: float, forward: float, sideways: float, z: float) -> Place:
    """The place ``forward`` and ``sideways`` of ``at`` [2] for what is turned by ``turn`` radians.

    ``z`` is its height.
    """
    c = np.cos(turn)
    s = np.sin(turn)
    x = at[0] + c * forward - s * sideways
    y = at[1] + s * forward + c * sideways
    return x, y, z


def add_legs(world: World, texture: Texture, at: np.ndarray, size: Place, turn: float) -> None:
    """Add four legs under a plate at ``at`` [2], size[0] by size[1], size[2] above the ground."""
    for sx in (-1, 1):
        for sy in (-1, 1):
            dx = sx * (size[0] / 2 - 0.05)
            dy = sy * (size[1] / 2 - 0.05)
            world.add(box(0.06, 0.06, size[2]), texture, beside(at, turn, dx, dy, 0.0))
