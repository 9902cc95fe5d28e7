"""Uncertainty and size of differences over scenes: bootstrap intervals, paired effect sizes.

Scenes are weighted where a protocol says so.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean, or mean difference, with its confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside of the confidence interval."""
        return self.low > 0 or self.high < 0


def bootstrap_mean(
    a: np.ndarray,
    weights: np.ndarray | None = None,
    level: float = 0.95,
    samples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the mean of ``a`` [N] over scenes; empty (nan) with one scene.

    With ``weights`` [N] (pixels of a scene, say) means are weighted, of the scenes and of every
    resampling of them. Raises ValueError for weights that are not positive or not as many.
    """
    w = np.ones(len(a)) if weights is None else weights.astype(np.float64)
    if w.shape != a.shape or not (w > 0).all():
        raise ValueError(f"expected {len(a)} positive weights, got {weights}")
    mean = float((w * a).sum() / w.sum())
    if len(a) < 2:
        return Interval(mean, float("nan"), float("nan"))
    index = np.random.default_rng(seed).integers(len(a), size=(samples, len(a)))
    means = (w * a)[index].sum(1) / w[index].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, weights: np.ndarray | None = None, level: float = 0.95
) -> Interval:
    """Percentile interval of mean(a - b): ``a`` and ``b`` [N] are the same scenes in order.

    Raises ValueError for different lengths or fewer than two scenes, and as
    :func:`bootstrap_mean`.
    """
    _check_pairs(a, b)
    return bootstrap_mean(a - b, weights, level)


def effect_size(a: np.ndarray, b: np.ndarray) -> float:
    """Paired effect size of ``a`` over ``b`` [N]; nan when all differences are the same.

    Mean over standard deviation of the differences (Cohen's d_z), corrected for few scenes
    (Hedges). Raises ValueError for different lengths or fewer than two scenes.
    """
    _check_pairs(a, b)
    difference = a - b
    spread = difference.std(ddof=1)
    if spread <= 1e-12 * np.abs(difference).max(initial=0):
        return float("nan")
    return float(difference.mean() / spread * (1 - 3 / (4 * (len(a) - 1) - 1)))


def _check_pairs(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(
            f"paired samples must be two equally long vectors, got {a.shape} and {b.shape}"
        )
    if len(a) < 2:
        raise ValueError(f"a paired bootstrap needs at least 2 scenes, got {len(a)}")
