"""Quality of every scene: the spread behind the means of the main table."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench3r.metrics.statistics import Interval
from bench3r.report.columns import Column
from bench3r.report.figures.drawing import (
    BLACK,
    GREY,
    TWO_COLUMNS,
    in_lines,
    log_ticks,
    panels,
    save,
)
from bench3r.report.figures.looks import look_of
from bench3r.report.names import dataset_label, name_of
from bench3r.report.settings import settings_of
from bench3r.report.summary import common_scenes, interval, of_scenes, weights_of

ROW = 0.18  # inches
LETTERS = 30  # of a line of a name
MARKERS = "os^Dv<>P"  # of datasets
SPREAD = 0.22  # of a row, between the scenes of two datasets


def quality(table: pd.DataFrame, columns: tuple[Column, ...], folder: Path) -> Path:
    """One panel per metric, a row per setting: every scene, and their mean with its interval."""
    settings = settings_of(table)
    height = ROW * len(settings) + 0.75
    figure, axes = panels(1, len(columns), TWO_COLUMNS, height, share=(False, True))
    markers = markers_of(table)
    for axis, column in zip(axes, columns, strict=True):
        _panel(axis, table, column, markers)
    names = [textwrap.fill(name_of(s, table), LETTERS) for s in settings]
    axes[0].set_yticks(range(len(settings)), names, linespacing=0.9)
    axes[0].set_ylim(len(settings) - 0.4, -0.6)
    handles = [_handle(marker, dataset_label(name)) for name, marker in markers.items()]
    handles.append(Line2D([], [], color=BLACK, marker="|", markersize=7, label="mean, 95 % CI"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return save(figure, folder, "quality")


def markers_of(table: pd.DataFrame) -> dict[str, str]:
    """A marker for every dataset of ``table``."""
    names = list(table["dataset"].unique())
    return {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(names)}


def _handle(marker: str, label: str) -> Line2D:
    return Line2D([], [], color=GREY, marker=marker, linestyle="", label=label)


def _panel(axis: Axes, table: pd.DataFrame, column: Column, markers: dict[str, str]) -> None:
    values = of_scenes(table, column, common_scenes(table))
    weights = weights_of(table, column)
    settings = settings_of(table)
    _scenes(axis, values.reindex(columns=settings), markers)
    means = {}
    for row, setting in enumerate(settings):
        found = interval(values[setting], weights) if setting in values.columns else None
        if found is not None:
            means[row] = found
    _means(axis, means)
    axis.set_xlabel(in_lines(column.title))
    axis.grid(visible=False, axis="x")
    shown = values.to_numpy(float)
    if column.better == "lower" and np.isfinite(shown).any() and np.nanmin(shown) > 0:
        axis.set_xscale("log")
        log_ticks(axis.xaxis, 4)


def _scenes(axis: Axes, values: pd.DataFrame, markers: dict[str, str]) -> None:
    """Scenes by settings, a column in a row of ``axis``, every dataset on a line of its own."""
    middle = (len(markers) - 1) / 2
    colours = [look_of(setting.method).colour for setting in values.columns]
    for place, (dataset, marker) in enumerate(markers.items()):
        own = values[values.index.get_level_values("dataset") == dataset].to_numpy(float)
        heights = np.arange(own.shape[1]) + SPREAD * (place - middle)
        axis.scatter(
            own.ravel(),
            np.broadcast_to(heights, own.shape).ravel(),
            marker=marker,
            s=7,
            color=colours * len(own),
            alpha=0.75,
            linewidths=0,
        )


def _means(axis: Axes, means: dict[int, Interval]) -> None:
    """Means in their rows, with their intervals."""
    rows = list(means)
    values = [found.mean for found in means.values()]
    axis.scatter(values, rows, marker="|", s=60, color=BLACK, zorder=5, linewidths=1.1)
    low = [found.low for found in means.values()]
    high = [found.high for found in means.values()]
    axis.hlines(rows, low, high, color=BLACK, linewidth=0.8, zorder=4)
