"""Depth metrics. Masks, alignments and reductions are separate functions; all float64."""

from __future__ import annotations

import numpy as np


def lower_median(values: np.ndarray) -> float:
    """The lower of the two middle ``values`` [...], as ``torch.median`` gives it."""
    middle = (values.size - 1) // 2
    return float(np.partition(values, middle, axis=None)[middle])


def median_ratio(predicted: np.ndarray, true: np.ndarray, lower: bool = False) -> float:
    """median(true) / median(predicted) of depths [N].

    ``lower``: with lower middle values, as CUT3R's code. Raises ValueError when nothing is valid or
    the median is not positive.
    """
    if not true.size:
        raise ValueError("no pixel with valid depth")
    if lower:
        return lower_median(true) / lower_median(predicted)
    middle = float(np.median(predicted))
    if not np.isfinite(middle) or middle <= 0:
        raise ValueError(f"the median predicted depth is {middle}, it must be positive")
    return float(np.median(true)) / middle


def depth_errors(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Errors of aligned depths [N].

    AbsRel, squared relative error, RMSE, log RMSE and shares within the strict delta thresholds.
    """
    safe = np.maximum(predicted, 1e-5)
    ratio = np.maximum(safe / true, true / safe)
    error = predicted - true
    return {
        "absrel": float((np.abs(error) / true).mean()),
        "sqrel": float((error**2 / true).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "logrmse": float(np.sqrt(((np.log(safe) - np.log(true)) ** 2).mean())),
        "delta1": float((ratio < 1.25).mean()),
        "delta2": float((ratio < 1.25**2).mean()),
        "delta3": float((ratio < 1.25**3).mean()),
    }


def depth_mse(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Mean squared error of depths [N] after median scale.

    ``mse`` in units squared, ``mse_norm`` with both depths divided by the true median. Raises
    ValueError as :func:`median_ratio`.
    """
    aligned = predicted * median_ratio(predicted, true)
    mse = float(((aligned - true) ** 2).mean())
    return {"mse": mse, "mse_norm": mse / float(np.median(true)) ** 2}


def cubic_weights(size: int, target: int, a: float = -0.75) -> np.ndarray:
    """Matrix [target, size] of cubic interpolation at pixel centres.

    Edges are repeated and nothing is smoothed, as in OpenCV.
    """
    position = (np.arange(target) + 0.5) * size / target - 0.5
    base = np.floor(position).astype(int)
    rows = np.arange(target)
    out = np.zeros((target, size))
    for offset in range(-1, 3):
        x = np.abs(position - (base + offset))
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        columns = np.clip(base + offset, 0, size - 1)
        np.add.at(out, (rows, columns), np.where(x <= 1, near, far))
    return out


def resize_cubic(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps [S, h, w] -> [S, H, W] by cubic interpolation."""
    return cubic_weights(maps.shape[1], size[0]) @ maps @ cubic_weights(maps.shape[2], size[1]).T


def reweighted_scale(predicted: np.ndarray, true: np.ndarray, steps: int = 10) -> float:
    """Scale of least absolute error of depths [N] by ten steps of reweighting, as in CUT3R.

    Starts at the ratio of means and is at least 1e-3. The steps do not converge and the published
    numbers are those after ten, so the rule is part of the metric.
    """
    scale = true.mean() / predicted.mean()
    for _ in range(steps):
        weight = 1 / (np.abs(scale * predicted - true) + 1e-8)
        scale = (weight * predicted * true).sum() / (weight * predicted**2).sum()
    return max(float(scale), 1e-3)


def descended_scale_shift(
    predicted: np.ndarray,
    true: np.ndarray,
    lr: float = 1e-4,
    steps: int = 1000,
    tolerance: float = 1e-6,
) -> tuple[float, float]:
    """Scale and shift of depths [N] by Adam on the sum of absolute errors, as in CUT3R.

    Starts at the median ratio and 0. A thousand steps of 1e-4 move either by 0.1 at most: this is
    not the optimum, and depends on the prediction's units. Raises ValueError as
    :func:`median_ratio`.
    """
    values = np.array([median_ratio(predicted, true, lower=True), 0.0])
    momentum = np.zeros(2)
    squares = np.zeros(2)
    before = np.inf
    for step in range(1, steps + 1):
        difference = values[0] * predicted + values[1] - true
        loss = float(np.abs(difference).sum())
        sign = np.sign(difference)
        gradient = np.array([(sign * predicted).sum(), sign.sum()])
        momentum = 0.9 * momentum + 0.1 * gradient
        squares = 0.999 * squares + 0.001 * gradient**2
        scaled = np.sqrt(squares / (1 - 0.999**step)) + 1e-8
        values = values - lr * momentum / (1 - 0.9**step) / scaled
        if abs(before - loss) < tolerance:
            break
        before = loss
    return float(values[0]), float(values[1])


def fitted_scale_shift(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Scale and shift of least squares between depths [N]."""
    basis = np.stack([predicted, np.ones_like(predicted)], 1)
    found = np.linalg.lstsq(basis, true, rcond=None)[0]
    return float(found[0]), float(found[1])
