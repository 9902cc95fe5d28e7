"""One scene as pictures: images and z-depth of two views, per method its depth and error."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from bench3r.api.scene import SceneData
from bench3r.report.figures.drawing import SMALL, TWO_COLUMNS, add_axes, new_figure, save, wrapped
from bench3r.report.figures.mosaic import beside, colour_bar, coloured, show

ERROR_BOUND = 0.5  # largest relative error of the colour scale
DEPTHS = "viridis"
ERRORS = "magma"
ACROSS = 6  # tiles
GAP = 1  # pixels between the pictures of a tile
LETTERS = 20  # of a line of a tile's name
LINE = 0.115  # inches of such a line
BETWEEN = 0.07  # inches between tiles
BARS = 0.56  # inches of height for the colour bars and their labels
BAR = 0.16  # inches from the tiles to the bottom of the bars
THIN = 0.08  # inches of a colour bar


def panel(scene: SceneData, predictions: dict[str, np.ndarray], folder: Path, name: str) -> Path:
    """A tile for images and ground truth, and one per method: z-depth above its relative error.

    ``predictions``: depth [S, H, W] by label; its median is scaled to that of the ground truth.
    Raises ValueError for a scene without depth.
    """
    if scene.depth is None:
        raise ValueError("a qualitative panel needs ground-truth depth")
    valid = scene.depth > 0
    known = np.where(valid, scene.depth, np.nan)
    depths = Normalize(0, float(np.quantile(scene.depth[valid], 0.98)))
    errors = Normalize(0, ERROR_BOUND)
    views = sorted({0, len(scene.images) - 1})
    truth = coloured(known[views], DEPTHS, depths)
    tiles = {"image, ground truth": _tile(scene.images[views] / 255, truth)}
    for label, depth in predictions.items():
        scaled = depth * np.median(scene.depth[valid]) / np.median(depth[valid])
        error = np.abs(scaled - scene.depth) / known
        above = coloured(scaled[views], DEPTHS, depths)
        tiles[label] = _tile(above, coloured(error[views], ERRORS, errors))
    figure, left, right = _tiled(tiles)
    unit = f"z-depth ({scene.unit})"
    colour_bar(left, DEPTHS, depths, unit, orientation="horizontal", extend="max")
    label = "relative error of z-depth"
    colour_bar(right, ERRORS, errors, label, orientation="horizontal", extend="max")
    return save(figure, folder, name)


def _tile(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Two rows of pictures, each [V, H, W, 3], as one."""
    rows = [beside(above, GAP), beside(below, GAP)]
    return np.concatenate([rows[0], np.ones_like(rows[0][:GAP]), rows[1]])


def _tiled(tiles: dict[str, np.ndarray]) -> tuple[plt.Figure, Axes, Axes]:
    """``tiles`` with their names in a grid, and two axes for colour bars below."""
    tall, wide, _ = next(iter(tiles.values())).shape
    width = (TWO_COLUMNS - BETWEEN * (ACROSS - 1)) / ACROSS
    each = width * tall / wide
    names = [wrapped(label, LETTERS) for label in tiles]
    starts = range(0, len(names), ACROSS)
    lines = [max(name.count("\n") + 1 for name in names[i : i + ACROSS]) for i in starts]
    bottom = sum(lines) * LINE + len(lines) * (each + BETWEEN) + BARS
    figure = new_figure(TWO_COLUMNS, bottom, laid_out=False)
    for place, (name, tile) in enumerate(zip(names, tiles.values(), strict=True)):
        row, column = divmod(place, ACROSS)
        if column == 0:
            bottom -= lines[row] * LINE + each + BETWEEN
        axis = add_axes(figure, column * (width + BETWEEN), bottom, width, each)
        show(axis, tile)
        axis.set_title(name, pad=2, fontsize=SMALL, linespacing=0.95)
    third = TWO_COLUMNS / 3
    left = add_axes(figure, third * 0.4, BARS - BAR, third, THIN)
    return figure, left, add_axes(figure, third * 1.7, BARS - BAR, third, THIN)
