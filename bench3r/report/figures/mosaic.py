"""Many small pictures as one image, so that they are aligned and quick to draw."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, Normalize

from bench3r.report.figures.drawing import figure_of

MISSING = (1.0, 1.0, 1.0)  # colour where there is no value
PAPER = 1.0  # white between pictures


def coloured(values: np.ndarray, colours: str | Colormap, norm: Normalize) -> np.ndarray:
    """Values [..., H, W] as colours [..., H, W, 3] of the map ``colours``."""
    known = np.where(np.isfinite(values), values, 1.0)
    scaled = norm(known.ravel()).reshape(values.shape)
    shown = colormaps.get_cmap(colours)(scaled)[..., :3]
    return np.where(np.isfinite(values)[..., None], shown, MISSING)


def beside(pictures: np.ndarray, gap: int) -> np.ndarray:
    """Pictures [N, H, W, 3] in a row, ``gap`` white pixels apart: [H, N * (W + gap) - gap, 3]."""
    count, height, width, _ = pictures.shape
    out = np.full((height, count * (width + gap) - gap, 3), PAPER)
    for place, picture in enumerate(pictures):
        left = place * (width + gap)
        out[:, left : left + width] = picture
    return out


def show(axis: Axes, picture: np.ndarray) -> None:
    """Draw colours [H, W, 3] on ``axis``, with nothing around them."""
    axis.imshow(picture, interpolation="nearest")
    axis.set_axis_off()


def colour_bar(
    cax: Axes, colours: str | Colormap, norm: Normalize, label: str, **look: Any
) -> Colorbar:
    """The scale of :func:`coloured` in an axis of its own."""
    bar = figure_of(cax).colorbar(ScalarMappable(norm, colours), cax=cax, label=label, **look)
    bar.outline.set_linewidth(0.5)
    return bar
