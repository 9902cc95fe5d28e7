"""MPI Sintel (Butler et al. 2012): training/{final, depth, camdata_left}/SEQUENCE/frame_NNNN.{png, dpt, cam}. Synthetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import read_bytes
from bench3r.data.formats.images import read_image
from bench3r.data.poses import check_rotation

TAG = 202021.25  # first number of the release's binary files


def read_depth(path: Path) -> np.ndarray:
    """Depth [H, W] of a .dpt file. Raises Bench3RError for another tag or size."""
    data = read_bytes(path, "depth map")
    if len(data) < 12 or np.frombuffer(data[:4], "<f4")[0] != np.float32(TAG):
        raise Bench3RError(f"{path}: not a Sintel depth file (its first number must be {TAG})")
    width, height = np.frombuffer(data[4:12], "<i4").tolist()
    if len(data) != 12 + 4 * width * height:
        raise Bench3RError(
            f"{path}: {len(data) - 12} bytes of pixels, expected {4 * width * height} for {width} x {height}"
        )
    return np.frombuffer(data[12:], "<f4").reshape(height, width)


def read_camera(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics [3, 3] and world-to-camera [4, 4] of a .cam file. Raises Bench3RError for another tag or size."""
    data = read_bytes(path, "camera file")
    if len(data) != 4 + 8 * 21 or np.frombuffer(data[:4], "<f4")[0] != np.float32(TAG):
        raise Bench3RError(f"{path}: not a Sintel camera file (172 bytes that start with {TAG})")
    values = np.frombuffer(data[4:], "<f8")
    w2c = np.eye(4)
    w2c[:3] = values[9:].reshape(3, 4)
    return values[:9].reshape(3, 3).copy(), w2c


class Sintel(Dataset):
    """Rendered film scenes with moving characters; depth without bound, scored below 70 m."""

    name = "sintel"
    label = "Sintel"
    scene_type = "real-world"
    largest_depth = 70.0
    clips_depth = True
    licence = "research use (sintel.is.tue.mpg.de)"
    obtain = "Download MPI-Sintel-training_images and -depth-training from http://sintel.is.tue.mpg.de and unzip both."

    def scenes(self) -> list[str]:
        folder = self.root / "training" / "final"
        if not folder.is_dir():
            raise Bench3RError(f"{folder}: folder is missing. {self.obtain}")
        return sorted(
            p.name for p in folder.iterdir() if (self.root / "training" / "depth" / p.name).is_dir()
        )

    def frames(self, scene: str) -> list[str]:
        files = (self.root / "training" / "final" / scene).glob("frame_*.png")
        return sorted((p.stem for p in files), key=lambda s: int(s.split("_")[1]))

    def read(self, scene: str, frame: str) -> Frame:
        folder = self.root / "training"
        camera = folder / "camdata_left" / scene / f"{frame}.cam"
        k, w2c = read_camera(camera)
        check_rotation(w2c, str(camera))
        image, depth = (
            read_image(folder / "final" / scene / f"{frame}.png"),
            read_depth(folder / "depth" / scene / f"{frame}.dpt"),
        )
        if depth.shape != image.shape[:2]:
            raise Bench3RError(
                f"{folder / 'depth' / scene / frame}.dpt: depth {depth.shape}, image {image.shape[:2]}"
            )
        return Frame(
            image, k, np.linalg.inv(w2c), np.where(np.isfinite(depth), depth, 0).astype(np.float32)
        )
