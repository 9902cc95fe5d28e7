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
        "absrel": float((np.abs(error) / truth).mean()), "sqrel": float((error**2 / truth).mean()),
        "rmse": float(np.sqrt((error**2).mean())), "logrmse": float(np.sqrt(((np.log(safe) - np.log(truth)) ** 2).mean())),
        "delta1": float((ratio < 1.25).mean()), "delta2": float((ratio < 1.25**2).mean()),
        "delta3": float((ratio < 1.25**3).mean()),
    }  # fmt: skip


def depth_mse(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean squared error after median scale, in units squared and with both depths divided by the true median."""
    aligned = predicted * median_ratio(predicted, truth)
    mse = float(((aligned - truth) ** 2).mean())
    return {"mse": mse, "mse_norm": mse / float(np.median(truth)) ** 2}
