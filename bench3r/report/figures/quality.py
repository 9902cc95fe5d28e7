"""Quality of every scene: the spread behind the means of the main table."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from bench3r.report.columns import Column
from bench3r.report.figures.drawing import log_ticks, save


def quality(table: pd.DataFrame, columns: tuple[Column, ...], folder: Path) -> Path:
    """One panel per metric, methods in rows, datasets in colours; the bar is a method's mean."""
    size = (4 * len(columns), 0.6 * table["label"].nunique() + 1.6)
    figure, grid = plt.subplots(1, len(columns), figsize=size, squeeze=False)
    axes = list(grid[0])
    for axis, column in zip(axes, columns, strict=True):
        _panel(axis, table, column, legend=axis is axes[-1])
    if axes[-1].get_legend():
        sns.move_legend(axes[-1], "upper left", bbox_to_anchor=(1, 1), title="dataset")
    for axis in axes[1:]:
        axis.set_yticklabels([])
    figure.suptitle("Every dot is a scene, the bar its method's mean", y=1.02)
    return save(figure, folder, "quality")


def _panel(axis: Axes, table: pd.DataFrame, column: Column, legend: bool) -> None:
    own = (table["protocol"] == column.protocol) & (table["metric"] == column.metric)
    rows = table[own].dropna(subset="value")
    sns.stripplot(
        rows,
        x="value",
        y="label",
        hue="dataset",
        ax=axis,
        dodge=True,
        size=4,
        alpha=0.8,
        legend=legend,
    )
    means = rows.groupby("label", sort=False)["value"].mean().to_numpy()
    axis.scatter(means, np.arange(len(means)), marker="|", s=400, color="black", zorder=5)
    axis.set(xlabel=column.title, ylabel="")
    if column.better == "lower" and rows["value"].min() > 0:  # NaN without any row
        axis.set_xscale("log")
        log_ticks(axis.xaxis)
