"""COLMAP models: cameras, posed images and sparse points."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pycolmap

from bench3r.api.errors import Bench3RError


@lru_cache(maxsize=64)
def read_model(path: Path) -> pycolmap.Reconstruction:
    """The model in the folder ``path``, read once. Raises Bench3RError naming a damaged one."""
    try:
        return pycolmap.Reconstruction(str(path))
    except Exception as error:  # pycolmap raises its own and the standard library's types
        raise Bench3RError(f"{path}: not a readable COLMAP model ({error})") from error


def images_by_name(path: Path) -> dict[str, pycolmap.Image]:
    """The images of the model in ``path``, sorted by name. Raises Bench3RError naming the model."""
    images = read_model(path).images.values()
    try:
        return {image.name: image for image in sorted(images, key=lambda image: image.name)}
    except UnicodeDecodeError as error:
        raise Bench3RError(f"{path}: an image's name is no text ({error})") from error


def image_called(name: str, path: Path) -> pycolmap.Image:
    """The image ``name`` of the model in ``path``. Raises Bench3RError when there is none."""
    images = images_by_name(path)
    if name not in images:
        raise Bench3RError(f"{path}: image {name!r} is not in the COLMAP model")
    return images[name]


def camera_to_world(image: pycolmap.Image) -> np.ndarray:
    """The pose [4, 4] of an image."""
    w2c = np.eye(4)
    w2c[:3] = image.cam_from_world().matrix()
    return np.linalg.inv(w2c)


def write_model(
    path: Path,
    names: list[str],
    k: np.ndarray,
    c2w: np.ndarray,
    size: tuple[int, int],
    points: np.ndarray,
) -> None:
    """Write a binary model: one PINHOLE camera, posed images and sparse points.

    ``k``: intrinsics [3, 3] of images of ``size`` (H, W), with integer pixel centres. ``c2w``:
    poses [S, 4, 4] of the images ``names``. ``points``: [N, 3], seen by nobody.
    """
    path.mkdir(parents=True, exist_ok=True)
    model = pycolmap.Reconstruction()
    parameters = [k[0, 0], k[1, 1], k[0, 2] + 0.5, k[1, 2] + 0.5]
    camera = pycolmap.Camera(
        model="PINHOLE", width=size[1], height=size[0], params=parameters, camera_id=1
    )
    model.add_camera_with_trivial_rig(camera)
    for number, (name, pose) in enumerate(zip(names, c2w, strict=True), 1):
        image = pycolmap.Image(name=name, camera_id=1, image_id=number)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(np.linalg.inv(pose)[:3]))
    for point in points:
        model.add_point3D(point, pycolmap.Track(), np.zeros(3, np.uint8))
    model.write_binary(str(path))
