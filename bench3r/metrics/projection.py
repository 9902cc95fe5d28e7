"""From depth maps to points in the world."""

from __future__ import annotations

import numpy as np


def unproject(depth: np.ndarray, w2c: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """World points [S, H, W, 3] of z-depth [S, H, W].

    ``w2c`` [S, 3, 4]: world to camera, OpenCV axes; ``intrinsics`` [S, 3, 3]: pixels.
    """
    s, h, w = depth.shape
    v, u = np.mgrid[:h, :w].astype(np.float64)
    x = (u - intrinsics[:, 0, 2, None, None]) / intrinsics[:, 0, 0, None, None] * depth
    y = (v - intrinsics[:, 1, 2, None, None]) / intrinsics[:, 1, 1, None, None] * depth
    camera = np.stack([x, y, depth], -1).reshape(s, -1, 3) - w2c[:, None, :, 3]
    return (camera @ w2c[:, :, :3]).reshape(s, h, w, 3)


def homogeneous(poses: np.ndarray) -> np.ndarray:
    """Poses [S, 3, 4] with their last row, [S, 4, 4]."""
    bottom = np.broadcast_to([0.0, 0, 0, 1], (len(poses), 1, 4))
    return np.concatenate([poses, bottom], 1)
