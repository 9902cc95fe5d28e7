"""Figures: quality per method and scene, training curve, qualitative panels. PNG and PDF, colour-blind-safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench3r.api.scene import SceneData
from bench3r.report.summary import Column

sns.set_theme(style="whitegrid", palette="colorblind", font_scale=0.9)


def save(figure: plt.Figure, folder: Path, name: str) -> Path:
    """Write NAME.png and NAME.pdf; returns the PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in ("pdf", "png"):
        figure.savefig(folder / f"{name}.{suffix}", dpi=150, bbox_inches="tight")
    plt.close(figure)
    return folder / f"{name}.png"


def looks_of(names: list[str]) -> dict[str, tuple[Any, str]]:
    """Colour and marker of every name: ten colours that colour-blind readers tell apart, after them another marker."""
    palette = sns.color_palette("colorblind")
    return {
        n: (palette[i % len(palette)], "os^D"[i // len(palette) % 4]) for i, n in enumerate(names)
    }


def quality(table: pd.DataFrame, columns: tuple[Column, ...], folder: Path) -> Path:
    """One panel per metric: every scene as a dot, methods in rows, datasets in colours, the mean as a bar."""
    figure, axes = plt.subplots(
        1, len(columns), figsize=(4 * len(columns), 0.6 * table["label"].nunique() + 1.6)
    )
    for axis, column in zip(np.atleast_1d(axes), columns, strict=True):
        rows = table[
            (table["protocol"] == column.protocol) & (table["metric"] == column.metric)
        ].dropna(subset="value")
        sns.stripplot(
            rows,
            x="value",
            y="label",
            hue="dataset",
            ax=axis,
            dodge=True,
            size=4,
            alpha=0.8,
            legend=axis is np.atleast_1d(axes)[-1],
        )
        means = rows.groupby("label", sort=False)["value"].mean()
        axis.scatter(
            means.to_numpy(), range(len(means)), marker="|", s=400, color="black", zorder=5
        )
        axis.set(xlabel=column.title, ylabel="")
        if column.better == "lower" and len(rows) and rows["value"].min() > 0:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
    legend = np.atleast_1d(axes)[-1].get_legend()
    if legend:
        sns.move_legend(
            np.atleast_1d(axes)[-1], "upper left", bbox_to_anchor=(1, 1), title="dataset"
        )
    for axis in np.atleast_1d(axes)[1:]:
        axis.set_yticklabels([])
    figure.suptitle("Every dot is a scene, the bar its method's mean", y=1.02)
    return save(figure, folder, "quality")


def training_curve(curve: pd.DataFrame, folder: Path, title: str, name: str) -> Path:
    """Loss parts over steps, smoothed, on a log axis."""
    parts = [
        c
        for c in ("camera", "depth", "ray", "point", "normal", "track", "matching")
        if c in curve and curve[c].notna().any()
    ]
    figure, axis = plt.subplots(figsize=(6, 3.5))
    window = max(1, len(curve) // 50)
    for part in parts:
        shifted = (
            curve[part] - min(0, curve[part].min()) + 1e-3
        )  # confidence terms can make a part negative
        axis.plot(curve["step"], shifted.rolling(window, min_periods=1).mean(), label=part)
    axis.set(yscale="log", xlabel="step", ylabel="loss part (moving mean)", title=title)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return save(figure, folder, name)


def panel(scene: SceneData, predictions: dict[str, np.ndarray], folder: Path, name: str) -> Path:
    """Two views of a scene: image and true depth, then per method its median-scaled depth and relative error."""
    if scene.depth is None:
        raise ValueError("a qualitative panel needs true depth")
    valid = scene.depth > 0
    top = float(np.quantile(scene.depth[valid], 0.98))
    views = sorted({0, len(scene.images) - 1})
    truth = np.where(valid, scene.depth, np.nan)
    rows: list[tuple[str, list[np.ndarray]]] = [
        ("image | true depth", [m[v] for v in views for m in (scene.images, truth)])
    ]
    for label, depth in predictions.items():
        scaled = depth * np.median(scene.depth[valid]) / np.median(depth[valid])
        error = np.abs(scaled - scene.depth) / np.where(valid, scene.depth, np.nan)
        rows.append((label, [m[v] for v in views for m in (scaled, error)]))
    size = (4.2 * len(views) + 2, 1.5 * len(rows))
    figure, axes = plt.subplots(len(rows), 2 * len(views), figsize=size, squeeze=False)
    for row, (label, pictures) in enumerate(rows):
        for column, picture in enumerate(pictures):
            is_error = row > 0 and column % 2 == 1
            style = (
                {"cmap": "magma", "vmin": 0, "vmax": 0.5}
                if is_error
                else {"cmap": "viridis", "vmin": 0, "vmax": top}
            )
            axes[row, column].imshow(picture, **({} if picture.ndim == 3 else style))
            axes[row, column].set(xticks=[], yticks=[])
        axes[row, 0].set_ylabel(label, rotation=0, ha="right", va="center")
    figure.suptitle(
        f"{scene.name}: depth in {scene.unit} (0 to {top:.3g}) | relative error (0 to 0.5)", y=0.995
    )
    figure.tight_layout()
    return save(figure, folder, name)
