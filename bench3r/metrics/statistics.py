"""Uncertainty: paired bootstrap over scenes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """Mean difference with its confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the difference is clear of zero."""
        return self.low > 0 or self.high < 0


def paired_bootstrap(a: np.ndarray, b: np.ndarray, level: float = 0.95, samples: int = 10_000, seed: int = 0) -> Interval:
    """Percentile interval of mean(a - b) over scenes: ``a`` and ``b`` [N] are the same scenes in the same order.

    Raises ValueError for different lengths or fewer than two scenes.
    """
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired samples must be two equally long vectors, got {a.shape} and {b.shape}")
    if len(a) < 2:
        raise ValueError(f"a paired bootstrap needs at least 2 scenes, got {len(a)}")
    difference = a - b
    index = np.random.default_rng(seed).integers(len(a), size=(samples, len(a)))
    low, high = np.quantile(difference[index].mean(1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(difference.mean()), float(low), float(high))


def bootstrap_mean(a: np.ndarray, level: float = 0.95, samples: int = 10_000, seed: int = 0) -> Interval:
    """Percentile interval of the mean of ``a`` [N] over scenes; with one scene the interval is empty (nan)."""
    if len(a) < 2:
        return Interval(float(a.mean()), float("nan"), float("nan"))
    index = np.random.default_rng(seed).integers(len(a), size=(samples, len(a)))
    low, high = np.quantile(a[index].mean(1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(a.mean()), float(low), float(high))
