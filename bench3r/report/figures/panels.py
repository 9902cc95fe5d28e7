"""One scene as pictures: images and z-depth of two views, per method its depth and error."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from bench3r.api.scene import SceneData
from bench3r.report.figures.drawing import save

ERROR_BOUND = 0.5  # largest relative error of the colour scale


def panel(scene: SceneData, predictions: dict[str, np.ndarray], folder: Path, name: str) -> Path:
    """Image and ground-truth depth of two views; below, each method's scaled depth and its error.

    ``predictions``: depth [S, H, W] by label; its median is scaled to that of the ground truth.
    Raises ValueError for a scene without depth.
    """
    if scene.depth is None:
        raise ValueError("a qualitative panel needs ground-truth depth")
    valid = scene.depth > 0
    known = np.where(valid, scene.depth, np.nan)
    top = float(np.quantile(scene.depth[valid], 0.98))
    views = sorted({0, len(scene.images) - 1})
    size = (4.2 * len(views) + 2, 1.5 * (1 + len(predictions)))
    figure, axes = plt.subplots(1 + len(predictions), 2 * len(views), figsize=size, squeeze=False)
    for i, view in enumerate(views):
        axes[0, 2 * i].imshow(scene.images[view])
        _depth(axes[0, 2 * i + 1], known[view], top)
    for row, depth in zip(axes[1:], predictions.values(), strict=True):
        scaled = depth * np.median(scene.depth[valid]) / np.median(depth[valid])
        error = np.abs(scaled - scene.depth) / known
        for i, view in enumerate(views):
            _depth(row[2 * i], scaled[view], top)
            row[2 * i + 1].imshow(error[view], cmap="magma", vmin=0, vmax=ERROR_BOUND)
    for row, label in zip(axes, ("image | ground truth", *predictions), strict=True):
        row[0].set_ylabel(label, rotation=0, ha="right", va="center")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    title = f"depth in {scene.unit} (0 to {top:.3g}) | relative error (0 to {ERROR_BOUND})"
    figure.suptitle(f"{scene.name}: {title}", y=0.995)
    figure.tight_layout()
    return save(figure, folder, name)


def _depth(axis: Axes, depth: np.ndarray, top: float) -> None:
    axis.imshow(depth, cmap="viridis", vmin=0, vmax=top)
