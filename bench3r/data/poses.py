"""Cameras: poses from other conventions to camera-to-world with OpenCV axes, and intrinsics."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from bench3r.api.errors import Bench3RError

TOLERANCE = 1e-2  # by which a stored rotation may miss orthonormality


def pinhole(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    """Intrinsics [3, 3] in pixels."""
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def opengl_to_opencv(c2w: np.ndarray) -> np.ndarray:
    """Camera to world [4, 4] with OpenGL axes (y up, z backward) -> OpenCV axes."""
    return c2w @ np.diag([1.0, -1, -1, 1])


def pose_from_quaternion(values: tuple[float, ...], where: str) -> np.ndarray:
    """Translation and quaternion xyzw, 7 numbers -> [4, 4].

    Raises Bench3RError, naming ``where``, for what is no rotation.
    """
    numbers = np.array(values, dtype=np.float64)
    if not np.isfinite(numbers).all() or abs(np.linalg.norm(numbers[3:]) - 1) > TOLERANCE:
        raise Bench3RError(
            f"{where}: expected a translation and a unit quaternion, found {numbers.tolist()}"
        )
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(numbers[3:]).as_matrix()
    pose[:3, 3] = numbers[:3]
    return pose


def check_rotation(pose: np.ndarray, where: str) -> None:
    """Raise Bench3RError unless ``pose`` [4, 4] is rigid: orthonormal, determinant +1."""
    r = pose[:3, :3]
    finite = np.isfinite(pose).all()
    if not finite or np.abs(r @ r.T - np.eye(3)).max() > TOLERANCE or np.linalg.det(r) < 0:
        raise Bench3RError(
            f"{where}: the pose is not a rigid transform (rotation part {np.round(r, 3).tolist()})"
        )
