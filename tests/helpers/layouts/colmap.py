"""A COLMAP model with tracks, as Mip-NeRF 360's scenes have it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap

from tests.helpers.worlds import World, build, picture

POINTS = 60
GOOD = 40  # the points from here on are seen by two images only
WRONG = 10  # the points before have a large error


class Sighting(NamedTuple):
    """A point that an image sees."""

    point: int
    pixel: np.ndarray  # [2], COLMAP's


def mipnerf360(root: Path) -> World:
    """Good points, some seen by two images only, some with a large error; images in two sizes."""
    world = build(9, (96, 128))
    folder = root / "bicycle"
    names = [f"_DSC{8600 + i}.JPG" for i in range(9)]
    for i, name in enumerate(names):
        picture(folder / "images" / name, world.images[i])
        picture(folder / "images_2" / name, world.images[i][::2, ::2])
    points = points_of(world)
    seen = [sightings(world, i, points) for i in range(9)]
    model = pycolmap.Reconstruction()
    k = world.k
    parameters = [k[0, 0], k[1, 1], k[0, 2] + 0.5, k[1, 2] + 0.5]
    camera = pycolmap.Camera(model="PINHOLE", width=128, height=96, params=parameters, camera_id=1)
    model.add_camera_with_trivial_rig(camera)
    for i, name in enumerate(names):
        image = pycolmap.Image(name=name, camera_id=1, image_id=i + 1)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(s.pixel) for s in seen[i]])
        pose = pycolmap.Rigid3d(np.linalg.inv(world.c2w[i])[:3])
        model.add_image_with_trivial_frame(image, pose)
    for n in range(POINTS):
        add_point(model, n, points[n], seen)
    (folder / "sparse" / "0").mkdir(parents=True)
    model.write_binary(str(folder / "sparse" / "0"))
    return world


def points_of(world: World) -> np.ndarray:
    """Points [POINTS, 3] that the fifth camera sees."""
    k = world.k
    rng = np.random.default_rng(0)
    row = rng.integers(20, 76, POINTS)
    column = rng.integers(20, 108, POINTS)
    z = world.depth[4, row, column]
    local = np.stack([(column - k[0, 2]) / k[0, 0] * z, (row - k[1, 2]) / k[1, 1] * z, z], 1)
    return local @ world.c2w[4, :3, :3].T + world.c2w[4, :3, 3]


def sightings(world: World, i: int, points: np.ndarray) -> list[Sighting]:
    """Which of ``points`` [N, 3] image ``i`` sees."""
    k = world.k
    camera = (points - world.c2w[i, :3, 3]) @ world.c2w[i, :3, :3]
    pixels = camera[:, :2] / camera[:, 2:] * [k[0, 0], k[1, 1]] + k[:2, 2]
    found = []
    for n, (x, y) in enumerate(pixels):
        if not (0 <= x < 127 and 0 <= y < 95) or (n >= GOOD and i > 1):
            continue
        if abs(world.depth[i, round(y), round(x)] - camera[n, 2]) < 0.02:
            found.append(Sighting(n, pixels[n] + 0.5))
    return found


def add_point(
    model: pycolmap.Reconstruction, n: int, xyz: np.ndarray, seen: list[list[Sighting]]
) -> None:
    """Add point ``n`` with its track, where two images see it."""
    elements = []
    for i, found in enumerate(seen):
        for place, sighting in enumerate(found):
            if sighting.point == n:
                elements.append(pycolmap.TrackElement(i + 1, place))
    if len(elements) > 1:
        number = model.add_point3D(xyz, pycolmap.Track(elements), np.zeros(3, np.uint8))
        model.points3D[number].error = 3.0 if n < WRONG else 0.5
