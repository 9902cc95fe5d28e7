"""Point maps by the rules of the CUT3R family: shift and scale by medians, a central window.

Wang et al. 2025.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench3r.metrics.depth import lower_median

WINDOW = 224  # pixels per side of what is scored
SCALE_RANGE = (1e-3, 1e3)


class MedianFrame(NamedTuple):
    """What normalises a cloud."""

    shift: float  # the median depth, which is taken off
    scale: float  # the median distance from the median point

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] without the median depth.

        The scale is applied by whoever compares two clouds.
        """
        return points - [0.0, 0.0, self.shift]


def median_frame(points: np.ndarray) -> MedianFrame:
    """The normalisation of ``points`` [N, 3] in the first camera's axes, by lower middle values.

    The median point serves the scale alone; points are not moved to it.
    """
    shift = lower_median(points[:, 2])
    moved = points - [0.0, 0.0, shift]
    centre = np.array([lower_median(moved[:, axis]) for axis in range(3)])
    return MedianFrame(shift, lower_median(np.linalg.norm(moved - centre, axis=1)))


def window(height: int, width: int, side: int = WINDOW) -> tuple[slice, slice]:
    """Rows and columns that are scored, as the released slicing takes them.

    An image smaller than the window gives a negative start, which Python counts from the far side:
    only a thin strip is left, and was published so.
    """
    rows = slice(height // 2 - side // 2, height // 2 + side // 2)
    columns = slice(width // 2 - side // 2, width // 2 + side // 2)
    return rows, columns


def in_window(height: int, width: int, side: int = WINDOW) -> np.ndarray:
    """Mask [H, W] of the pixels that are scored."""
    mask = np.zeros((height, width), bool)
    mask[window(height, width, side)] = True
    return mask


class WindowClouds(NamedTuple):
    """Both clouds in the first camera, shifted, the prediction at the true scale."""

    predicted: np.ndarray  # [N, 3]
    true: np.ndarray  # [N, 3]
    predicted_frame: MedianFrame
    true_frame: MedianFrame


def normalise(predicted: np.ndarray, true: np.ndarray) -> WindowClouds:
    """Bring ``predicted`` and ``true`` [N, 3], each in its own first camera, together.

    Without any rotation. Raises ValueError for empty clouds and points that are not finite.
    """
    if not len(predicted) or not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        raise ValueError("median alignment needs finite points")
    own = median_frame(predicted)
    target = median_frame(true)
    factor = target.scale / float(np.clip(own.scale, *SCALE_RANGE))
    return WindowClouds(factor * own.apply(predicted), target.apply(true), own, target)
