"""Recursion depth: its distribution, its maps over images, and how it follows complexity."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from bench3r.api.scene import SceneData
from bench3r.metrics.patches import plane_residual, spread_patches
from bench3r.report.figures.drawing import save

DEPTH_COLOURS = "cividis"  # ordered, and readable in print and for colour-blind readers
VIEWS = 4  # of a scene that are drawn


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
    figure, axis = plt.subplots(figsize=(7, 0.42 * len(bars) + 1.2))
    left = np.zeros(len(bars))
    for depth, share in enumerate(table):
        axis.barh(
            range(len(bars)),
            share,
            left=left,
            color=colours[depth],
            label=f"depth {depth + 1}",
            height=0.8,
        )
        left += share
    axis.set_yticks(range(len(bars)), [label for label, _ in bars], fontsize=7)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel="share of patches")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return save(figure, folder, "depth_distribution")


def depth_maps(
    scene: SceneData, depths: dict[str, np.ndarray], patch: int, folder: Path, name: str
) -> Path:
    """Recursion depth over the images, beside the patches' geometric complexity.

    ``depths``: recursion depth of every patch [S, h, w] by label; ``patch``: its side in pixels.
    Raises ValueError for a scene without ground-truth depth.
    """
    if scene.depth is None:
        raise ValueError("the complexity needs ground-truth depth")
    views = min(VIEWS, len(scene.images))
    complexity = plane_residual(scene.depth.astype(np.float64), patch)
    logarithms = np.log10(np.clip(complexity[:views], 1e-3, None))
    size = scene.depth.shape[1:]
    labels = ["image", "complexity", *depths]
    figure, axes = plt.subplots(
        len(labels), views, figsize=(2 * views + 2, 1.5 * len(labels)), squeeze=False
    )
    for view in range(views):
        axes[0, view].imshow(scene.images[view])
        spread = spread_patches(logarithms[view : view + 1], patch, size)[0]
        axes[1, view].imshow(spread, cmap="magma", vmin=-3, vmax=0)
    deepest = max(2, *(int(d.max()) for d in depths.values()))
    for row, depth in zip(axes[2:], depths.values(), strict=True):
        spread = spread_patches(depth[:views].astype(float), patch, size)
        shown = _over_images(list(row), scene.images, spread, deepest)
    for row, label in zip(axes, labels, strict=True):
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    ticks = range(1, deepest + 1)
    figure.colorbar(shown, ax=axes[2:], ticks=ticks, label="recursion depth", fraction=0.03)
    meaning = "complexity is the log distance of the ground-truth surface from a plane"
    figure.suptitle(f"{scene.name}: {meaning}", y=0.98, fontsize=9)
    return save(figure, folder, name)


def _over_images(
    axes: list[Axes], images: np.ndarray, depths: np.ndarray, deepest: int
) -> plt.cm.ScalarMappable:
    """Depths [S, H, W] over grey images [S, H, W, 3], one axis per view."""
    for view, axis in enumerate(axes):
        axis.imshow(images[view].mean(-1), cmap="gray")
        shown = axis.imshow(depths[view], cmap=DEPTH_COLOURS, vmin=1, vmax=deepest, alpha=0.6)
    return shown


def correlation(rows: pd.DataFrame, folder: Path) -> Path | None:
    """Rank correlation of recursion depth with complexity: every scene a dot.

    ``rows``: its ``value``, the ``setting`` and what it is measured ``against``.
    """
    if rows.empty:
        return None
    figure, axis = plt.subplots(figsize=(7, 0.45 * rows["setting"].nunique() + 1.2))
    sns.stripplot(
        rows, x="value", y="setting", hue="against", dodge=True, size=4, alpha=0.8, ax=axis
    )
    axis.axvline(0, color="black", linewidth=0.8)
    label = "rank correlation of recursion depth with the patch's ground-truth complexity"
    axis.set(xlim=(-1, 1), xlabel=label, ylabel="")
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1))
    return save(figure, folder, "depth_complexity")
