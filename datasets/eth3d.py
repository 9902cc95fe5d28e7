"""ETH3D high-resolution multi-view (Schöps et al. 2017).

SCENE/images/, SCENE/dslr_calibration_jpg/ (a COLMAP model) and SCENE/ground_truth_depth/, where
depth has the names of the images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.colmap import camera_to_world, image_called, images_by_name, read_model
from bench3r.data.formats.files import folders_with, inside, read_bytes
from bench3r.data.formats.images import read_image
from bench3r.data.undistort import resample_depth, resample_image, undistorted

WIDTH = 1024  # of the undistorted image; the originals are 6048 wide


def read_depth(path: Path, size: tuple[int, int]) -> np.ndarray:
    """z-depth [H, W] of a raw float32 file, 0 = none. Raises Bench3RError for another ``size``."""
    data = read_bytes(path, "depth map")
    height, width = size
    expected = 4 * height * width
    if len(data) != expected:
        raise Bench3RError(
            f"{path}: {len(data)} bytes, expected {expected} for {width} x {height} float32"
        )
    depth = np.frombuffer(data, "<f4").reshape(size)
    return np.where(np.isfinite(depth), depth, 0)


class ETH3D(Dataset):
    """Laser-scanned places, photographs with a fisheye-like lens.

    Depth is raw float32 without a header, inf = none. Image and depth are undistorted here with the
    full lens model (the released protocols leave parts of it out), at a width of 1024 pixels.
    """

    name = "eth3d"
    label = "ETH3D"
    scene_type = "real-world"
    licence = "CC BY-NC-SA 4.0"
    obtain = (
        "Download multi_view_training_dslr_jpg.7z and the *_dslr_depth.7z of "
        "https://www.eth3d.net/datasets and unpack them."
    )

    def scenes(self) -> list[str]:
        return folders_with(self.root, "dslr_calibration_jpg/images.txt")

    def frames(self, scene: str) -> list[str]:
        return list(images_by_name(self.root / scene / "dslr_calibration_jpg"))

    def read(self, scene: str, frame: str) -> Frame:
        folder = self.root / scene
        calibration = folder / "dslr_calibration_jpg"
        posed = image_called(frame, calibration)
        camera = read_model(calibration).cameras[posed.camera_id]
        picture = inside(folder / "images", frame)
        image = read_image(picture)
        size = (camera.height, camera.width)
        if image.shape[:2] != size:
            raise Bench3RError(f"{picture}: {image.shape[:2]}, the camera has {size}")
        depth = read_depth(inside(folder / "ground_truth_depth", frame), size)
        width = min(WIDTH, camera.width)
        height = round(camera.height * width / camera.width)
        k, where = undistorted(camera, (height, width))
        return Frame(
            resample_image(image, where),
            k,
            camera_to_world(posed),
            resample_depth(depth, where),
        )
