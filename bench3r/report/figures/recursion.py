"""Recursion depth: its distribution, its maps over images, and how it follows complexity."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm
from matplotlib.ticker import NullLocator

from bench3r.api.scene import SceneData
from bench3r.metrics.patches import plane_residual, spread_patches
from bench3r.report.figures.drawing import (
    BLACK,
    ONE_COLUMN,
    SMALL,
    TWO_COLUMNS,
    add_axes,
    new_figure,
    panels,
    save,
    wrapped,
)
from bench3r.report.figures.mosaic import beside, colour_bar, coloured, show

DEPTH_COLOURS = "cividis"  # ordered, and readable in print and for colour-blind readers
COMPLEXITY = "magma"
COMPLEX = (1e-3, 1.0)  # bounds of its colour scale
VIEWS = 4  # of a scene that are drawn
GAP = 2  # pixels between views
NAME = 0.85  # inches left of the views
SCALE = 0.8  # inches right of them
THIN = 0.1  # inches of a colour bar
BETWEEN = 0.08  # inches between rows
TINT = 0.65  # of the depth's colour over the image
BAR = 0.17  # inches of height
KINDS = ("#0072b2", "#d55e00", "#009e73")  # of complexity
MARKERS = "os^"
SPREAD = 0.36  # of a row, between kinds of complexity


def depth_shares(facts: pd.DataFrame) -> np.ndarray:
    """Share of patches [deepest] at recursion depth 1, 2, ... over all rows of ``facts``."""
    counts = np.sum([np.asarray(h[1:]) for h in facts["depth_histogram"]], axis=0)
    return counts / max(1, counts.sum())


def depth_distribution(bars: list[tuple[str, np.ndarray]], folder: Path) -> Path | None:
    """Stacked bars of labels and their shares of patches [deepest] at recursion depth 1, 2, ..."""
    if not bars:
        return None
    deepest = max(len(shares) for _, shares in bars)
    colours = sns.color_palette(DEPTH_COLOURS, deepest)
    table = np.zeros((deepest, len(bars)))
    for place, (_, shares) in enumerate(bars):
        table[: len(shares), place] = shares
    figure, (axis,) = panels(1, 1, TWO_COLUMNS, BAR * len(bars) + 0.75)
    left = np.zeros(len(bars))
    for depth, share in enumerate(table):
        label = f"recursion depth {depth + 1}" if depth == 0 else f"{depth + 1}"
        axis.barh(range(len(bars)), share, left=left, color=colours[depth], label=label, height=0.8)
        left += share
    axis.set_yticks(range(len(bars)), [label.replace("\n", ", ") for label, _ in bars])
    axis.set(xlim=(0, 1), ylim=(len(bars) - 0.4, -0.6), xlabel="share of patches")
    axis.grid(visible=False)
    figure.legend(loc="outside upper center", ncols=deepest)
    return save(figure, folder, "depth_distribution")


def depth_maps(
    scene: SceneData, depths: dict[str, np.ndarray], patch: int, folder: Path, name: str
) -> Path:
    """Recursion depth over the images, below the patches' geometric complexity.

    ``depths``: recursion depth of every patch [S, h, w] by label; ``patch``: its side in pixels.
    Raises ValueError for a scene without ground-truth depth.
    """
    if scene.depth is None:
        raise ValueError("the complexity needs ground-truth depth")
    views = min(VIEWS, len(scene.images))
    images = scene.images[:views] / 255
    residual = plane_residual(scene.depth[:views].astype(np.float64), patch)
    size = scene.depth.shape[1:]
    scale = LogNorm(*COMPLEX, clip=True)
    spread = spread_patches(np.clip(residual, *COMPLEX), patch, size)
    deepest = max(2, *(int(d.max()) for d in depths.values()))
    colours = ListedColormap(sns.color_palette(DEPTH_COLOURS, deepest))
    steps = BoundaryNorm(np.arange(deepest + 1) + 0.5, deepest)
    strips = {"image": images, "complexity": coloured(spread, COMPLEXITY, scale)}
    grey = images.mean(-1, keepdims=True)
    for label, depth in depths.items():
        own = spread_patches(depth[:views].astype(float), patch, size)
        strips[label] = TINT * coloured(own, colours, steps) + (1 - TINT) * grey
    figure, bars = _strips(strips)
    marks = {"ticks": [0.001, 0.01, 0.1, 1], "format": "%g"}
    first = colour_bar(bars[0], COMPLEXITY, scale, "distance from plane", **marks)
    first.ax.yaxis.label.set_fontsize(SMALL)
    first.ax.yaxis.set_minor_locator(NullLocator())
    colour_bar(bars[1], colours, steps, "recursion depth", ticks=range(1, deepest + 1))
    return save(figure, folder, name)


def _strips(strips: dict[str, np.ndarray]) -> tuple[plt.Figure, list[Axes]]:
    """Views [V, H, W, 3] by label, a row of them each, and axes for the colour bars beside them.

    The first bar stands beside the second row, the other beside those below.
    """
    rows = {label: beside(views, GAP) for label, views in strips.items()}
    tall, wide, _ = next(iter(rows.values())).shape
    width = TWO_COLUMNS - NAME - SCALE
    each = width * tall / wide
    height = (each + BETWEEN) * len(rows)
    figure = new_figure(TWO_COLUMNS, height, laid_out=False)
    for place, (label, row) in enumerate(rows.items(), 1):
        low = height - place * (each + BETWEEN) + BETWEEN / 2
        axis = add_axes(figure, NAME, low, width, each)
        show(axis, row)
        name = axis.text(-0.01, 0.5, wrapped(label, 14), ha="right", va="center")
        name.set_transform(axis.transAxes)
    left = NAME + width + 0.1
    second = height - 2 * (each + BETWEEN) + BETWEEN / 2
    rest = (len(rows) - 2) * (each + BETWEEN) - BETWEEN
    bars = [add_axes(figure, left, second, THIN, each)]
    bars.append(add_axes(figure, left, BETWEEN / 2, THIN, rest))
    return figure, bars


def correlation(rows: pd.DataFrame, folder: Path) -> Path | None:
    """Rank correlation of recursion depth with complexity: every scene a dot, and their median.

    ``rows``: its ``value``, the ``setting`` and what it is measured ``against``.
    """
    if rows.empty:
        return None
    names = list(rows["setting"].unique())
    kinds = list(rows["against"].unique())
    figure, (axis,) = panels(1, 1, ONE_COLUMN, 0.2 * len(names) * len(kinds) + 0.8)
    for place, (kind, colour) in enumerate(zip(kinds, KINDS, strict=False)):
        own = rows[rows["against"].eq(kind)]
        height = own["setting"].map(names.index) + SPREAD * (place - (len(kinds) - 1) / 2)
        marker = MARKERS[place]
        axis.scatter(own["value"], height, s=10, color=colour, marker=marker, label=kind, alpha=0.8)
        middle = own.assign(height=height).groupby("height")["value"].median()
        axis.scatter(middle, middle.index, s=70, color=BLACK, marker="|", linewidths=1.1, zorder=4)
    axis.axvline(0, color=BLACK, linewidth=0.6)
    axis.set_yticks(range(len(names)), [wrapped(name) for name in names])
    axis.set(xlim=(-1, 1), xticks=[-1, -0.5, 0, 0.5, 1], ylim=(len(names) - 0.5, -0.5))
    axis.set_xlabel("rank correlation of recursion depth with complexity")
    axis.grid(visible=False, axis="y")
    figure.legend(loc="outside upper center", ncols=len(kinds))
    return save(figure, folder, "depth_complexity")
