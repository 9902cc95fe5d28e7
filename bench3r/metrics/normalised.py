"""Lite3R's metrics on scenes in normalised units: poses relative to view 0, squared Chamfer."""

from __future__ import annotations

import numpy as np

from bench3r.metrics import depth

LEAST_PIXELS = 100
NAMES = {  # of depth errors: Lite3R's and ours
    "abs_rel": "absrel",
    "delta1": "delta1",
    "delta2": "delta2",
    "delta3": "delta3",
    "rmse": "rmse",
}


def relative_to_first(w2c: np.ndarray) -> np.ndarray:
    """World-to-camera poses [S, 4, 4] as if camera 0 were the world: W_i W_0^-1."""
    return w2c @ np.linalg.inv(w2c[0])


def rotation_errors(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Angle in degrees [S] between the rotations of poses [S, 4, 4], by the trace."""
    relative = predicted[:, :3, :3] @ true[:, :3, :3].transpose(0, 2, 1)
    cosine = (np.trace(relative, axis1=1, axis2=2) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def translation_errors(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Distances [S] between translations of poses [S, 4, 4].

    One least-squares factor scales the predicted ones first.
    """
    own = predicted[:, :3, 3]
    target = true[:, :3, 3]
    factor = (own * target).sum() / max(float((own * own).sum()), 1e-12)
    return np.linalg.norm(factor * own - target, axis=1)


def squared_chamfer(forward: np.ndarray, back: np.ndarray) -> float:
    """Half the sum of both mean squared distances, given the distances [N] and [M] both ways."""
    return 0.5 * float((forward**2).mean() + (back**2).mean())


def least_squares_scale(predicted: np.ndarray, true: np.ndarray) -> float:
    """The scale of predicted depths [N] that fits the true ones in least squares, at least 1e-3."""
    return max(float((predicted * true).sum() / max(float((predicted**2).sum()), 1e-12)), 1e-3)


def depth_errors(predicted: np.ndarray, true: np.ndarray) -> tuple[dict[str, float], float]:
    """Depth errors of maps [...] after a least-squares scale, and that scale.

    All pixels with true depth count, however far; predictions are floored at 1e-3. NaN for fewer
    than 100 pixels.
    """
    valid = true > 0
    own = np.maximum(predicted[valid], 1e-3)
    target = true[valid]
    if len(target) < LEAST_PIXELS:
        return dict.fromkeys(NAMES, float("nan")), float("nan")
    scale = least_squares_scale(own, target)
    found = depth.depth_errors(scale * own, target)
    return {name: found[ours] for name, ours in NAMES.items()}, scale
