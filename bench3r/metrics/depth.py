"""Depth metrics. Masks, alignments and reductions are separate functions; all float64."""

from __future__ import annotations

import numpy as np


def lower_median(values: np.ndarray) -> float:
    """The lower of the two middle values, as ``torch.median`` gives it."""
    middle = (values.size - 1) // 2
    return float(np.partition(values, middle, axis=None)[middle])


def median_ratio(predicted: np.ndarray, truth: np.ndarray, lower: bool = False) -> float:
    """median(truth) / median(predicted); ``lower``: with lower middle values, as CUT3R's code.

    Raises ValueError when nothing is valid or the median is not positive.
    """
    if not truth.size:
        raise ValueError("no pixel with valid depth")
    if lower:
        return lower_median(truth) / lower_median(predicted)
    middle = float(np.median(predicted))
    if not np.isfinite(middle) or middle <= 0:
        raise ValueError(f"the median predicted depth is {middle}, it must be positive")
    return float(np.median(truth)) / middle


def depth_errors(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """AbsRel, squared relative error, RMSE, log RMSE and delta thresholds of aligned depths [N] (delta: strict)."""
    safe = np.maximum(predicted, 1e-5)
    ratio = np.maximum(safe / truth, truth / safe)
    error = predicted - truth
    return {
        "absrel": float((np.abs(error) / truth).mean()),
        "sqrel": float((error**2 / truth).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "logrmse": float(np.sqrt(((np.log(safe) - np.log(truth)) ** 2).mean())),
        "delta1": float((ratio < 1.25).mean()),
        "delta2": float((ratio < 1.25**2).mean()),
        "delta3": float((ratio < 1.25**3).mean()),
    }


def depth_mse(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean squared error after median scale, in units squared and with both depths divided by the true median."""
    aligned = predicted * median_ratio(predicted, truth)
    mse = float(((aligned - truth) ** 2).mean())
    return {"mse": mse, "mse_norm": mse / float(np.median(truth)) ** 2}


def cubic_weights(size: int, target: int, a: float = -0.75) -> np.ndarray:
    """Matrix [target, size] of cubic interpolation at pixel centres, edges repeated, no smoothing (as OpenCV's)."""
    position = (np.arange(target) + 0.5) * size / target - 0.5
    base = np.floor(position).astype(int)
    out = np.zeros((target, size))
    for offset in range(-1, 3):
        x = np.abs(position - (base + offset))
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        np.add.at(
            out,
            (np.arange(target), np.clip(base + offset, 0, size - 1)),
            np.where(x <= 1, near, far),
        )
    return out


def resize_cubic(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps [S, h, w] -> [S, H, W] by cubic interpolation."""
    return cubic_weights(maps.shape[1], size[0]) @ maps @ cubic_weights(maps.shape[2], size[1]).T


def reweighted_scale(predicted: np.ndarray, truth: np.ndarray, steps: int = 10) -> float:
    """Scale of least absolute error by ten steps of reweighting from the ratio of means, at least 1e-3 (CUT3R).

    The steps do not converge and the published numbers are those after ten, so the rule is part of the metric.
    """
    scale = truth.mean() / predicted.mean()
    for _ in range(steps):
        weight = 1 / (np.abs(scale * predicted - truth) + 1e-8)
        scale = (weight * predicted * truth).sum() / (weight * predicted**2).sum()
    return max(float(scale), 1e-3)


def descended_scale_shift(
    predicted: np.ndarray,
    truth: np.ndarray,
    lr: float = 1e-4,
    steps: int = 1000,
    tolerance: float = 1e-6,
) -> tuple[float, float]:
    """Scale and shift by Adam on the sum of absolute errors, from the median ratio and 0 (CUT3R).

    A thousand steps of 1e-4 move either by 0.1 at most: this is not the optimum, and depends on the prediction's units.
    """
    values = np.array([median_ratio(predicted, truth, lower=True), 0.0])
    first, second, before = np.zeros(2), np.zeros(2), np.inf
    for step in range(1, steps + 1):
        difference = values[0] * predicted + values[1] - truth
        loss = float(np.abs(difference).sum())
        sign = np.sign(difference)
        gradient = np.array([(sign * predicted).sum(), sign.sum()])
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        scaled = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        values = values - lr * first / (1 - 0.9**step) / scaled
        if abs(before - loss) < tolerance:
            break
        before = loss
    return float(values[0]), float(values[1])


def fitted_scale_shift(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Scale and shift of least squares."""
    found = np.linalg.lstsq(np.stack([predicted, np.ones_like(predicted)], 1), truth, rcond=None)[0]
    return float(found[0]), float(found[1])
