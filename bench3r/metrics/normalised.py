"""Lite3R's metrics on scenes in normalised units: poses relative to view 0, squared Chamfer."""

from __future__ import annotations

import numpy as np

from bench3r.metrics import depth

LEAST_PIXELS = 100


def relative_to_first(w2c: np.ndarray) -> np.ndarray:
    """World-to-camera poses [S, 4, 4] as if camera 0 were the world: W_i W_0^-1."""
    return w2c @ np.linalg.inv(w2c[0])


def rotation_errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Angle in degrees [S] between the rotations of poses [S, 4, 4], by the trace."""
    relative = predicted[:, :3, :3] @ truth[:, :3, :3].transpose(0, 2, 1)
    cosine = (np.trace(relative, axis1=1, axis2=2) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def translation_errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distances [S] between translations of poses [S, 4, 4] after one least-squares factor on the predicted ones."""
    a, b = predicted[:, :3, 3], truth[:, :3, 3]
    factor = (a * b).sum() / max(float((a * a).sum()), 1e-12)
    return np.linalg.norm(factor * a - b, axis=1)


def squared_chamfer(forward: np.ndarray, back: np.ndarray) -> float:
    """Half the sum of the two mean squared nearest-neighbour distances, given the distances [N] and [M] both ways."""
    return 0.5 * float((forward**2).mean() + (back**2).mean())


def least_squares_scale(predicted: np.ndarray, truth: np.ndarray) -> float:
    """The scale of predicted depths that fits the true ones best in least squares, at least 1e-3."""
    return max(float((predicted * truth).sum() / max(float((predicted**2).sum()), 1e-12)), 1e-3)


def depth_errors(predicted: np.ndarray, truth: np.ndarray) -> tuple[dict[str, float], float]:
    """Depth errors of maps of any shape after a least-squares scale, and that scale.

    All pixels with true depth count, however far; predictions are floored at 1e-3. NaN for fewer than 100 pixels.
    """
    valid = truth > 0
    p, t = np.maximum(predicted[valid], 1e-3), truth[valid]
    names = {
        "abs_rel": "absrel",
        "delta1": "delta1",
        "delta2": "delta2",
        "delta3": "delta3",
        "rmse": "rmse",
    }
    if len(t) < LEAST_PIXELS:
        return dict.fromkeys(names, float("nan")), float("nan")
    scale = least_squares_scale(p, t)
    found = depth.depth_errors(scale * p, t)
    return {ours: found[key] for ours, key in names.items()}, scale
