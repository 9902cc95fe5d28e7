"""Relative and absolute camera pose metrics.

Poses are [4, 4], OpenCV axes, float64; angles in degrees.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from bench3r.metrics.alignment import Similarity, umeyama

# the official code floors 1 - cos^2 here, so a perfect pair scores about 2e-6 to 4e-6 degrees
FLOOR = 1e-15
CONVENTIONS = ("pi3", "vggt", "da3")


def rotation_angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles [N] between rotations [N, 3, 3] by their quaternions, floored.

    arccos(1 - 2 (1 - <q, q'>^2)).
    """
    dot = (Rotation.from_matrix(a).as_quat() * Rotation.from_matrix(b).as_quat()).sum(1)
    loss = np.maximum(1 - dot**2, FLOOR)
    return np.degrees(np.arccos(np.clip(1 - 2 * loss, -1, 1)))


def translation_angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles [N] between directions [N, 3], sign ignored (0 to 90 degrees), floored.

    Non-finite directions give 1e6.
    """
    a = a / (np.linalg.norm(a, axis=1, keepdims=True) + FLOOR)
    b = b / (np.linalg.norm(b, axis=1, keepdims=True) + FLOOR)
    loss = np.maximum(1 - (a * b).sum(1) ** 2, FLOOR)
    angle = np.degrees(np.arccos(np.sqrt(np.clip(1 - loss, 0, 1))))
    return np.where(np.isfinite(angle), angle, 1e6)


def pairs(count: int) -> np.ndarray:
    """All pairs i < j of ``count`` views, [count (count - 1) / 2, 2]."""
    return np.stack(np.triu_indices(count, 1), 1)


def relative_poses(w2c: np.ndarray, convention: str = "pi3") -> np.ndarray:
    """Relative poses [P, 4, 4] of all pairs of world-to-camera poses [N, 4, 4].

    ``convention``: "pi3" W_j W_i^-1; "vggt" W_i W_j^-1; "da3" all first right-multiplied by the
    inverse of the first camera, then W_i^-1 W_j. Raises ValueError for fewer than two views or an
    unknown convention.
    """
    if len(w2c) < 2:
        raise ValueError(f"relative pose needs at least 2 views, got {len(w2c)}")
    if convention not in CONVENTIONS:
        raise ValueError(f"unknown relative pose convention {convention!r}")
    i, j = pairs(len(w2c)).T
    inverse = np.linalg.inv(w2c)
    if convention == "pi3":
        return w2c[j] @ inverse[i]
    if convention == "vggt":
        return w2c[i] @ inverse[j]
    rebased = w2c @ inverse[0]
    return np.linalg.inv(rebased)[i] @ rebased[j]


def relative_pose_errors(
    predicted_w2c: np.ndarray, true_w2c: np.ndarray, convention: str = "pi3"
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation-direction errors [P], [P] of all pairs of poses [N, 4, 4].

    ``convention`` and errors as in :func:`relative_poses`: raises ValueError for fewer than two
    views or an unknown convention.
    """
    true = relative_poses(true_w2c, convention)
    predicted = relative_poses(predicted_w2c, convention)
    rotation = rotation_angle(true[:, :3, :3], predicted[:, :3, :3])
    return rotation, translation_angle(true[:, :3, 3], predicted[:, :3, 3])


def pose_histogram(rotation: np.ndarray, translation: np.ndarray, threshold: int) -> np.ndarray:
    """Shares [threshold] of pairs by the larger of both errors [P] in one-degree bins.

    The last bin holds its upper edge.
    """
    error = np.maximum(rotation, translation)
    counts, _ = np.histogram(error, bins=np.arange(threshold + 1))
    return counts / len(error)


def pose_auc(rotation: np.ndarray, translation: np.ndarray, threshold: int) -> float:
    """Area under the accuracy curve up to ``threshold`` degrees, from errors [P], [P] of pairs.

    Integer bins; the mean of the cumulative shares.
    """
    return float(pose_histogram(rotation, translation, threshold).cumsum().mean())


def share_below(angles: np.ndarray, threshold: float) -> float:
    """Share of the ``angles`` [P] strictly below ``threshold`` (RRA, RTA)."""
    return float((angles < threshold).mean())


def pair_metrics(
    predicted_w2c: np.ndarray, true_w2c: np.ndarray, convention: str
) -> dict[str, float]:
    """Means over all pairs of poses [N, 4, 4]: angles, AUC at 5, 15, 30 degrees, RRA and RTA at 15.

    Raises ValueError as :func:`relative_poses`.
    """
    rotation, translation = relative_pose_errors(predicted_w2c, true_w2c, convention)
    return {
        "rot_deg": float(np.mean(rotation)),
        "trans_deg": float(np.mean(translation)),
        "auc5": pose_auc(rotation, translation, 5),
        "auc15": pose_auc(rotation, translation, 15),
        "auc30": pose_auc(rotation, translation, 30),
        "rra15": share_below(rotation, 15),
        "rta15": share_below(translation, 15),
    }


def align_trajectory(predicted_c2w: np.ndarray, true_c2w: np.ndarray) -> Similarity:
    """Similarity that best maps the camera centres of poses [N, 4, 4] to the true ones.

    Raises ValueError as :func:`bench3r.metrics.alignment.umeyama`.
    """
    return umeyama(predicted_c2w[:, :3, 3], true_c2w[:, :3, 3])


def move_trajectory(poses: np.ndarray, s: Similarity) -> np.ndarray:
    """Poses [N, 4, 4] under a similarity: positions fully, rotations by its rotation."""
    moved = poses.copy()
    moved[:, :3, :3] = s.rotation @ poses[:, :3, :3]
    moved[:, :3, 3] = s.apply(poses[:, :3, 3])
    return moved


def relative_trajectory_errors(aligned: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """RPE between consecutive poses [N, 4, 4] of trajectories in one unit.

    RMS of the translation, and of the angle.
    """
    true_steps = np.linalg.inv(true[:-1]) @ true[1:]
    steps = np.linalg.inv(aligned[:-1]) @ aligned[1:]
    relative = np.linalg.inv(true_steps) @ steps
    angle = Rotation.from_matrix(relative[:, :3, :3]).magnitude()
    return {
        "rpe_trans": _rms(np.linalg.norm(relative[:, :3, 3], axis=1)),
        "rpe_rot_deg": _rms(np.degrees(angle)),
    }


def position_errors(aligned: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Distances [N] between the positions of poses [N, 4, 4]."""
    return np.linalg.norm(aligned[:, :3, 3] - true[:, :3, 3], axis=1)


def trajectory_errors(predicted_c2w: np.ndarray, true_c2w: np.ndarray) -> dict[str, float]:
    """ATE and RPE (consecutive frames) of poses [N, 4, 4] after Sim(3) alignment of the centres.

    RMS, in units and degrees. Raises ValueError for fewer than three poses or predicted centres
    that all coincide.
    """
    aligned = move_trajectory(predicted_c2w, align_trajectory(predicted_c2w, true_c2w))
    ate = _rms(position_errors(aligned, true_c2w))
    return {"ate": ate, **relative_trajectory_errors(aligned, true_c2w)}


def with_first_pose(aligned: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Poses [N, 4, 4] moved rigidly so that the first one is the first true one."""
    return (true[0] @ np.linalg.inv(aligned[0])) @ aligned


def rotation_rms(aligned: np.ndarray, true: np.ndarray) -> float:
    """RMS angle in degrees between the rotations of poses [N, 4, 4]."""
    relative = true[:, :3, :3].transpose(0, 2, 1) @ aligned[:, :3, :3]
    return _rms(np.degrees(Rotation.from_matrix(relative).magnitude()))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
