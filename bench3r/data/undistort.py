"""Views of a lens with distortion, resampled to a pinhole camera's."""

from __future__ import annotations

import numpy as np
import pycolmap
from scipy.ndimage import map_coordinates


def undistorted(camera: pycolmap.Camera, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A pinhole view of ``size`` (H, W) of what the lens of ``camera`` sees.

    Its intrinsics [3, 3], and where its pixels lie in the lens's image, [2, H, W]: rows, columns.
    Same focal length and centre as the lens, so the middle of the image keeps its scale. ``camera``
    has COLMAP's pixel centres (+0.5); they are integers in what is returned.
    """
    h, w = size
    scale = np.array([w / camera.width, h / camera.height])
    k = camera.calibration_matrix()
    k[:2] *= scale[:, None]
    k[:2, 2] -= 0.5
    v, u = np.mgrid[:h, :w]
    x = (u - k[0, 2]) / k[0, 0]
    y = (v - k[1, 2]) / k[1, 1]
    rays = np.stack([x, y, np.ones(u.shape)], -1)  # [H, W, 3]
    pixels = np.asarray(camera.img_from_cam(rays.reshape(-1, 3))).reshape(h, w, 2)
    return k, np.stack([pixels[..., 1] - 0.5, pixels[..., 0] - 0.5])


def resample_image(image: np.ndarray, where: np.ndarray) -> np.ndarray:
    """``image`` [H, W, 3] uint8 at the places ``where`` [2, h, w]: [h, w, 3].

    Bilinear; the border goes on outside.
    """
    channels = []
    for channel in np.moveaxis(image, -1, 0):
        channels.append(map_coordinates(channel, where, order=1, mode="nearest"))
    return np.stack(channels, -1)


def resample_depth(depth: np.ndarray, where: np.ndarray) -> np.ndarray:
    """``depth`` [H, W] at the places ``where`` [2, h, w]: [h, w]; nearest, unknown (0) outside."""
    return map_coordinates(depth, where, order=0, mode="constant").astype(np.float32)
