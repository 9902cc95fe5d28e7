"""Solid procedural textures: the colour of a surface point follows from its position, no atlas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage

KINDS = ("plain", "noise", "checker", "stripes", "bricks", "speckle")
NOISE_SIZE = 64  # voxels per period of the noise volume


@dataclass(frozen=True)
class Texture:
    """Two colours mixed by a pattern. ``scale`` is the pattern period in metres."""

    kind: str
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    scale: float
    offset: tuple[float, float, float]

    @staticmethod
    def random(
        rng: np.random.Generator,
        kinds: tuple[str, ...] = KINDS,
        scale: tuple[float, float] = (0.08, 0.6),
    ) -> Texture:
        """A texture of one of ``kinds``, random colours; period log-uniform in ``scale`` metres."""
        base = rng.uniform(0.1, 0.95, 3)
        lighter = rng.uniform(0.15, 0.6) * rng.choice([-1, 1])
        other = np.clip(base + lighter + rng.normal(0, 0.1, 3), 0.02, 1)
        period = float(np.exp(rng.uniform(np.log(scale[0]), np.log(scale[1]))))
        kind = str(rng.choice(kinds))
        offset = rng.uniform(0, 50, 3)
        return Texture(kind, tuple(base), tuple(other), period, tuple(offset))


@cache
def noise_volume() -> np.ndarray:
    """Smooth tileable noise in [0, 1], a cube of side NOISE_SIZE, always the same."""
    white = np.random.default_rng(7).standard_normal((NOISE_SIZE,) * 3)
    volume = ndimage.gaussian_filter(white, 1.5, mode="wrap")
    low, high = np.quantile(volume, [0.02, 0.98])
    return np.clip((volume - low) / (high - low), 0, 1).astype(np.float32)


def noise(points: np.ndarray) -> np.ndarray:
    """Noise [N] at ``points`` [N, 3]; one unit holds about one bump."""
    return ndimage.map_coordinates(noise_volume(), (points.T * 6.0), order=1, mode="grid-wrap")


def _wave(x: np.ndarray) -> np.ndarray:
    """Soft square wave in [0, 1] with period 1: hard edges alias at the resolutions used here."""
    return np.clip(0.5 + 1.5 * np.sin(2 * np.pi * x), 0, 1)


def _pattern(kind: str, p: np.ndarray) -> np.ndarray:
    """Mixing weight in [0, 1] of ``kind`` at scaled positions ``p`` [N, 3]."""
    if kind == "plain":
        return 0.15 * noise(0.5 * p)
    if kind == "noise":
        return 0.65 * noise(p) + 0.35 * noise(2.7 * p)
    if kind == "checker":
        a, b, c = 2 * _wave(p.T) - 1
        return 0.5 + 0.5 * a * b * c
    if kind == "stripes":
        return _wave(p[:, 0] + 0.6 * p[:, 1] + 0.3 * p[:, 2] + 0.3 * noise(0.7 * p))
    if kind == "bricks":
        row = np.floor(2 * p[:, 2])
        mortar = np.minimum(_wave(2 * p[:, 2] - 0.1), _wave(p[:, 0] + p[:, 1] + 0.5 * (row % 2)))
        return 0.8 * mortar + 0.2 * noise(3 * p)
    return np.clip(3.0 * (noise(1.6 * p) - 0.55), 0, 1)


def colours(textures: list[Texture], part: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Colours [N, 3] of ``points`` [N, 3] (metres) on the parts ``part`` [N] of a world.

    ``textures`` are those of the parts.
    """
    first = np.array([t.first for t in textures])[part]
    second = np.array([t.second for t in textures])[part]
    scale = np.array([t.scale for t in textures])[part]
    offset = np.array([t.offset for t in textures])[part]
    kind = np.array([KINDS.index(t.kind) for t in textures])[part]
    scaled = points / scale[:, None] + offset
    weight = np.zeros(len(points))
    for index in np.unique(kind):
        rows = kind == index
        weight[rows] = _pattern(KINDS[index], scaled[rows])
    # a second, large-scale tone variation: real walls and floors are never uniform
    tone = 0.85 + 0.3 * noise(points * 0.35 + offset[:, ::-1])
    return np.clip((first + weight[:, None] * (second - first)) * tone[:, None], 0, 1)
