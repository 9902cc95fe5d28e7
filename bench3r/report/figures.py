"""Figures: quality per method and scene, training curve, qualitative panels. PNG and PDF, colour-blind-safe."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench3r.dataset import SceneData
from bench3r.report.summary import Column

sns.set_theme(style="whitegrid", palette="colorblind", font_scale=0.9)


def save(figure: plt.Figure, folder: Path, name: str) -> Path:
    """Write NAME.png and NAME.pdf; returns the PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in ("pdf", "png"):
        figure.savefig(folder / f"{name}.{suffix}", dpi=150, bbox_inches="tight")
    plt.close(figure)
    return folder / f"{name}.png"


def quality(table: pd.DataFrame, columns: tuple[Column, ...], folder: Path) -> Path:
    """One panel per metric: every scene as a dot, methods in rows, datasets in colours, the mean as a bar."""
    figure, axes = plt.subplots(1, len(columns), figsize=(4 * len(columns), 0.6 * table["label"].nunique() + 1.6))
    for axis, column in zip(np.atleast_1d(axes), columns, strict=True):
        rows = table[(table["protocol"] == column.protocol) & (table["metric"] == column.metric)].dropna(subset="value")
        sns.stripplot(rows, x="value", y="label", hue="dataset", ax=axis, dodge=True, size=4, alpha=0.8,
                      legend=axis is np.atleast_1d(axes)[-1])  # fmt: skip
        means = rows.groupby("label", sort=False)["value"].mean()
        axis.scatter(means.to_numpy(), range(len(means)), marker="|", s=400, color="black", zorder=5)
        axis.set(xlabel=column.title, ylabel="")
        if column.better == "lower" and len(rows) and rows["value"].min() > 0:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
    legend = np.atleast_1d(axes)[-1].get_legend()
    if legend:
        sns.move_legend(np.atleast_1d(axes)[-1], "upper left", bbox_to_anchor=(1, 1), title="dataset")
    for axis in np.atleast_1d(axes)[1:]:
        axis.set_yticklabels([])
    figure.suptitle("Every dot is a scene, the bar its method's mean", y=1.02)
    return save(figure, folder, "quality")


def training_curve(curve: pd.DataFrame, folder: Path, title: str) -> Path:
    """Loss parts over steps, smoothed, on a log axis."""
    parts = [c for c in ("camera", "depth", "point", "track") if curve[c].notna().any()]
    figure, axis = plt.subplots(figsize=(6, 3.5))
    window = max(1, len(curve) // 50)
    for part in parts:
        shifted = curve[part] - min(0, curve[part].min()) + 1e-3  # confidence terms can make a part negative
        axis.plot(curve["step"], shifted.rolling(window, min_periods=1).mean(), label=part)
    axis.set(yscale="log", xlabel="step", ylabel="loss part (moving mean)", title=title)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return save(figure, folder, "training_curve")


def panel(scene: SceneData, predictions: dict[str, np.ndarray], folder: Path, name: str) -> Path:
    """Images, true depth and, per method, median-scaled depth and relative error of one scene's views."""
    if scene.depth is None:
        raise ValueError("a qualitative panel needs true depth")
    valid = scene.depth > 0
    top = float(np.quantile(scene.depth[valid], 0.98))
    views = range(min(4, len(scene.images)))
    labels = ["image", "true depth", *(t for m in predictions for t in (m, f"{m}: error"))]
    figure, axes = plt.subplots(len(labels), len(views), figsize=(2 * len(views) + 2, 1.5 * len(labels)), squeeze=False)
    for column in views:
        shown = [scene.images[column], np.where(valid[column], scene.depth[column], np.nan)]
        for depth in predictions.values():
            scaled = depth * np.median(scene.depth[valid]) / np.median(depth[valid])
            error = np.abs(scaled - scene.depth) / np.where(valid, scene.depth, np.nan)
            shown += [scaled[column], error[column]]
        for row, (picture, label) in enumerate(zip(shown, labels, strict=True)):
            style = (
                {"cmap": "magma", "vmin": 0, "vmax": 0.5}
                if label.endswith("error")
                else {"cmap": "viridis", "vmin": 0, "vmax": top}
            )
            axes[row, column].imshow(picture, **({} if row == 0 else style))
            axes[row, column].set(xticks=[], yticks=[])
            if column == 0:
                axes[row, column].set_ylabel(label, rotation=0, ha="right", va="center")
    figure.suptitle(f"{scene.name}: depth in {scene.unit} (0 to {top:.3g}); relative error 0 to 0.5", y=0.995)
    figure.tight_layout()
    return save(figure, folder, name)
