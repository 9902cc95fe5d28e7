"""Relative and absolute camera pose metrics. Poses are 4x4, OpenCV axes, float64; angles in degrees."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from bench3r.metrics.alignment import Similarity, umeyama

FLOOR = 1e-15  # the official code floors 1 - cos^2 here, so a perfect pair scores about 2e-6 to 4e-6 degrees


def rotation_angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle between rotations [N, 3, 3] by their quaternions: arccos(1 - 2 (1 - <q, q'>^2)), floored."""
    dot = (Rotation.from_matrix(a).as_quat() * Rotation.from_matrix(b).as_quat()).sum(1)
    loss = np.maximum(1 - dot**2, FLOOR)
    return np.degrees(np.arccos(np.clip(1 - 2 * loss, -1, 1)))


def translation_angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle between directions [N, 3], sign ignored (0 to 90 degrees), floored; non-finite directions give 1e6."""
    a = a / (np.linalg.norm(a, axis=1, keepdims=True) + FLOOR)
    b = b / (np.linalg.norm(b, axis=1, keepdims=True) + FLOOR)
    loss = np.maximum(1 - (a * b).sum(1) ** 2, FLOOR)
    angle = np.degrees(np.arccos(np.sqrt(np.clip(1 - loss, 0, 1))))
    return np.where(np.isfinite(angle), angle, 1e6)


def pairs(count: int) -> np.ndarray:
    """All pairs i < j of ``count`` views, [count (count - 1) / 2, 2]."""
    return np.stack(np.triu_indices(count, 1), 1)


def relative_pose_errors(
    predicted_w2c: np.ndarray, true_w2c: np.ndarray, convention: str = "pi3"
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation-direction errors of all pairs.

    ``convention``: "pi3" W_j W_i^-1; "vggt" W_i W_j^-1; "da3" both sets first right-multiplied by the inverse of
    their first camera, then W_i^-1 W_j. Raises ValueError for fewer than two views or an unknown convention.
    """
    if len(true_w2c) < 2:
        raise ValueError(f"relative pose needs at least 2 views, got {len(true_w2c)}")
    i, j = pairs(len(true_w2c)).T
    both = []
    for w in (predicted_w2c, true_w2c):
        inverse = np.linalg.inv(w)
        if convention == "pi3":
            both.append(w[j] @ inverse[i])
        elif convention == "vggt":
            both.append(w[i] @ inverse[j])
        elif convention == "da3":
            rebased = w @ inverse[0]
            both.append(np.linalg.inv(rebased)[i] @ rebased[j])
        else:
            raise ValueError(f"unknown relative pose convention {convention!r}")
    predicted, truth = both
    rotation = rotation_angle(truth[:, :3, :3], predicted[:, :3, :3])
    return rotation, translation_angle(truth[:, :3, 3], predicted[:, :3, 3])


def pose_histogram(rotation: np.ndarray, translation: np.ndarray, threshold: int) -> np.ndarray:
    """Shares of pairs by the larger of both errors in one-degree bins [threshold]; the last bin holds its upper edge."""
    error = np.maximum(rotation, translation)
    counts, _ = np.histogram(error, bins=np.arange(threshold + 1))
    return counts / len(error)


def pose_auc(rotation: np.ndarray, translation: np.ndarray, threshold: int) -> float:
    """Area under the accuracy curve up to ``threshold`` degrees: integer bins, mean of the cumulative shares."""
    return float(pose_histogram(rotation, translation, threshold).cumsum().mean())


def share_below(angles: np.ndarray, threshold: float) -> float:
    """Share of pairs strictly below ``threshold`` (RRA, RTA)."""
    return float((angles < threshold).mean())


def align_trajectory(predicted_c2w: np.ndarray, true_c2w: np.ndarray) -> Similarity:
    """Similarity that best maps predicted camera centres to the true ones."""
    return umeyama(predicted_c2w[:, :3, 3], true_c2w[:, :3, 3])


def move_trajectory(poses: np.ndarray, s: Similarity) -> np.ndarray:
    """Poses [N, 4, 4] under a similarity: positions fully, rotations by its rotation."""
    moved = poses.copy()
    moved[:, :3, :3] = s.rotation @ poses[:, :3, :3]
    moved[:, :3, 3] = s.apply(poses[:, :3, 3])
    return moved


def relative_trajectory_errors(aligned: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """RPE between consecutive poses [N, 4, 4] of trajectories in one unit: RMS of translation, and of the angle."""
    steps = [np.linalg.inv(p[:-1]) @ p[1:] for p in (truth, aligned)]
    relative = np.linalg.inv(steps[0]) @ steps[1]
    angle = Rotation.from_matrix(relative[:, :3, :3]).magnitude()
    return {
        "rpe_trans": _rms(np.linalg.norm(relative[:, :3, 3], axis=1)),
        "rpe_rot_deg": _rms(np.degrees(angle)),
    }


def position_errors(aligned: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distances [N] between the positions of poses [N, 4, 4]."""
    return np.linalg.norm(aligned[:, :3, 3] - truth[:, :3, 3], axis=1)


def trajectory_errors(predicted_c2w: np.ndarray, true_c2w: np.ndarray) -> dict[str, float]:
    """ATE and RPE (consecutive frames) after Sim(3) alignment of the camera centres; RMS, units and degrees.

    Raises ValueError for fewer than three poses or predicted centres that all coincide.
    """
    aligned = move_trajectory(predicted_c2w, align_trajectory(predicted_c2w, true_c2w))
    return {
        "ate": _rms(position_errors(aligned, true_c2w)),
        **relative_trajectory_errors(aligned, true_c2w),
    }


def with_first_pose(aligned: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Poses moved rigidly so that the first one is the first true one."""
    return (truth[0] @ np.linalg.inv(aligned[0])) @ aligned


def rotation_rms(aligned: np.ndarray, truth: np.ndarray) -> float:
    """RMS angle in degrees between the rotations of poses [N, 4, 4]."""
    relative = truth[:, :3, :3].transpose(0, 2, 1) @ aligned[:, :3, :3]
    return _rms(np.degrees(Rotation.from_matrix(relative).magnitude()))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
