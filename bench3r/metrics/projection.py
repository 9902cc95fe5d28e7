"""From depth maps to points in the world."""

from __future__ import annotations

import numpy as np


def unproject(depth: np.ndarray, w2c: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """z-depth [S, H, W] with world-to-camera [S, 3, 4] and intrinsics [S, 3, 3] -> world points [S, H, W, 3]."""
    s, h, w = depth.shape
    v, u = np.mgrid[:h, :w].astype(np.float64)
    x = (u - intrinsics[:, 0, 2, None, None]) / intrinsics[:, 0, 0, None, None] * depth
    y = (v - intrinsics[:, 1, 2, None, None]) / intrinsics[:, 1, 1, None, None] * depth
    camera = np.stack([x, y, depth], -1).reshape(s, -1, 3) - w2c[:, None, :, 3]
    return (camera @ w2c[:, :, :3]).reshape(s, h, w, 3)
