"""ETH3D high-resolution multi-view (Schöps et al. 2017): SCENE/{images, dslr_calibration_jpg, ground_truth_depth}."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pycolmap

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import inside, read_bytes
from bench3r.data.formats.images import read_image
from bench3r.data.undistort import resample_depth, resample_image, undistorted

WIDTH = 1024  # of the undistorted image; the originals are 6048 wide


@cache
def model(path: Path) -> pycolmap.Reconstruction:
    """The COLMAP text model in ``path``."""
    try:
        return pycolmap.Reconstruction(str(path))
    except Exception as error:  # pycolmap raises its own and the standard library's types
        raise Bench3RError(f"{path}: not a readable COLMAP model ({error})") from error


class ETH3D(Dataset):
    """Laser-scanned places, photographs with a fisheye-like lens; depth is raw float32 without a header, inf = none.

    Image and depth are undistorted here with the full lens model (the released protocols leave parts of it out), at a width
    of 1024 pixels.
    """

    name = "eth3d"
    label = "ETH3D"
    scene_type = "real-world"
    licence = "CC BY-NC-SA 4.0"
    obtain = "Download multi_view_training_dslr_jpg.7z and the *_dslr_depth.7z of https://www.eth3d.net/datasets and unpack them."

    def scenes(self) -> list[str]:
        return sorted(
            p.name
            for p in self.root.iterdir()
            if (p / "dslr_calibration_jpg" / "images.txt").is_file()
        )

    def _images(self, scene: str) -> dict[str, pycolmap.Image]:
        path = self.root / scene / "dslr_calibration_jpg"
        try:
            return {i.name: i for i in sorted(model(path).images.values(), key=lambda i: i.name)}
        except UnicodeDecodeError as error:
            raise Bench3RError(
                f"{path / 'images.txt'}: an image's name is no text ({error})"
            ) from error

    def frames(self, scene: str) -> list[str]:
        return list(self._images(scene))

    def read(self, scene: str, frame: str) -> Frame:
        folder, images = self.root / scene, self._images(scene)
        if frame not in images:
            raise Bench3RError(
                f"{folder / 'dslr_calibration_jpg' / 'images.txt'}: no image {frame!r}"
            )
        camera = model(folder / "dslr_calibration_jpg").cameras[images[frame].camera_id]
        picture = read_image(inside(folder / "images", frame))
        if picture.shape[:2] != (camera.height, camera.width):
            raise Bench3RError(
                f"{folder / 'images' / frame}: {picture.shape[:2]}, the camera has {camera.height, camera.width}"
            )
        width = min(WIDTH, camera.width)
        k, where = undistorted(camera, (round(camera.height * width / camera.width), width))
        w2c = np.eye(4)
        w2c[:3] = images[frame].cam_from_world().matrix()
        depth = self._depth(inside(folder / "ground_truth_depth", frame), picture.shape[:2], where)
        return Frame(resample_image(picture, where), k, np.linalg.inv(w2c), depth)

    def _depth(self, path: Path, size: tuple[int, int], where: np.ndarray) -> np.ndarray:
        data = read_bytes(path, "depth map")
        if len(data) != 4 * size[0] * size[1]:
            raise Bench3RError(
                f"{path}: {len(data)} bytes, expected {4 * size[0] * size[1]} for {size[1]} x {size[0]} float32"
            )
        depth = np.frombuffer(data, "<f4").reshape(size)
        depth = np.where(np.isfinite(depth), depth, 0)
        return resample_depth(depth, where)
