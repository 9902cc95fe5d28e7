"""MPI Sintel (Butler et al. 2012). Synthetic.

training/final/SEQUENCE/frame_NNNN.png, training/depth/SEQUENCE/frame_NNNN.dpt and
training/camdata_left/SEQUENCE/frame_NNNN.cam.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import folders_with, read_bytes
from bench3r.data.formats.images import check_same_size, known_depth, read_image
from bench3r.data.poses import check_rotation

TAG = 202021.25  # first number of the release's binary files
CAMERA_BYTES = 4 + 8 * (9 + 12)  # the tag, and intrinsics and extrinsics in double precision


def has_tag(data: bytes) -> bool:
    """Whether a file is one of the release's."""
    return len(data) >= 4 and np.frombuffer(data[:4], "<f4")[0] == np.float32(TAG)


def read_depth(path: Path) -> np.ndarray:
    """Depth [H, W] of a .dpt file. Raises Bench3RError for another tag or size."""
    data = read_bytes(path, "depth map")
    if len(data) < 12 or not has_tag(data):
        raise Bench3RError(f"{path}: not a Sintel depth file (its first number must be {TAG})")
    width, height = np.frombuffer(data[4:12], "<i4").tolist()
    expected = 4 * width * height
    if len(data) != 12 + expected:
        raise Bench3RError(
            f"{path}: {len(data) - 12} bytes of pixels, expected {expected} for {width} x {height}"
        )
    return np.frombuffer(data[12:], "<f4").reshape(height, width)


def read_camera(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics [3, 3] and world-to-camera [4, 4] of a .cam file.

    Raises Bench3RError for another tag or size.
    """
    data = read_bytes(path, "camera file")
    if len(data) != CAMERA_BYTES or not has_tag(data):
        raise Bench3RError(
            f"{path}: not a Sintel camera file ({CAMERA_BYTES} bytes that start with {TAG})"
        )
    values = np.frombuffer(data[4:], "<f8")
    w2c = np.eye(4)
    w2c[:3] = values[9:].reshape(3, 4)
    return values[:9].reshape(3, 3).copy(), w2c


def number(frame: str) -> int:
    """N of "frame_N"."""
    return int(frame.split("_")[1])


class Sintel(Dataset):
    """Rendered film scenes with moving characters; depth without bound, scored below 70 m."""

    name = "sintel"
    label = "Sintel"
    scene_type = "real-world"
    largest_depth = 70.0
    clips_depth = True
    licence = "research use (sintel.is.tue.mpg.de)"
    obtain = (
        "Download MPI-Sintel-training_images and -depth-training from "
        "http://sintel.is.tue.mpg.de and unzip both."
    )

    def scenes(self) -> list[str]:
        folder = self.root / "training" / "final"
        if not folder.is_dir():
            raise Bench3RError(f"{folder}: folder is missing. {self.obtain}")
        depth = self.root / "training" / "depth"
        return [name for name in folders_with(folder) if (depth / name).is_dir()]

    def frames(self, scene: str) -> list[str]:
        files = (self.root / "training" / "final" / scene).glob("frame_*.png")
        return sorted((path.stem for path in files), key=number)

    def read(self, scene: str, frame: str) -> Frame:
        folder = self.root / "training"
        camera = folder / "camdata_left" / scene / f"{frame}.cam"
        k, w2c = read_camera(camera)
        check_rotation(w2c, str(camera))
        image = read_image(folder / "final" / scene / f"{frame}.png")
        path = folder / "depth" / scene / f"{frame}.dpt"
        depth = known_depth(read_depth(path))
        check_same_size(depth, image, path)
        return Frame(image, k, np.linalg.inv(w2c), depth)
