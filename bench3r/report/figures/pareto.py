"""Quality against what it costs: the settings that no other one beats in both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench3r.metrics.statistics import Interval
from bench3r.report.columns import Column
from bench3r.report.evidence import CostRow, Evidence, Setting, methods
from bench3r.report.figures.drawing import (
    BLACK,
    GREY,
    SMALL,
    TWO_COLUMNS,
    log_ticks,
    panels,
    save,
    settle,
    wrapped,
)
from bench3r.report.figures.labels import Label, label_points
from bench3r.report.figures.looks import look_of
from bench3r.report.names import listed, name_of
from bench3r.report.settings import settings_of
from bench3r.report.summary import common_scenes, interval, of_scenes, weights_of

TIME = "pareto_time"
COSTS: dict[str, str] = {  # name of the figure -> axis label
    "pareto": "GFLOPs per scene, counted",
    TIME: "time over the unchanged backbone's, paired",
    "pareto_memory": "peak memory above weights and libraries (GB)",
    "pareto_energy": "energy (J)",
}
MEASURED: dict[str, Callable[[CostRow], float]] = {  # by the profile stage, without an interval
    "pareto_memory": lambda row: row.above_baseline_bytes / 1e9,
    "pareto_energy": lambda row: row.energy_j,
}
LACKING = {TIME: "Not timed in turn with an unchanged backbone"}
LOG_FROM = 3  # ratio of the largest to the smallest cost from which on their axis is logarithmic
ACROSS = 2  # panels
PANEL = 2.6  # inches of height


class Point(NamedTuple):
    """A setting with its name and what one scene costs it: value, and bounds where known."""

    setting: Setting
    name: str
    cost: Interval

    @property
    def is_control(self) -> bool:
        """Whether it is the plainly shallower model that adaptive methods have to beat."""
        known = methods().get(self.setting.method)
        return known is not None and known.depth_control


def cost_of(e: Evidence, setting: Setting, scenes: pd.Index, figure: str) -> Interval:
    """What one of ``scenes`` costs, in the unit of :data:`COSTS`; NaN when it was not measured."""
    if figure == TIME:
        ratio = e.time_ratio(setting)
        return _exactly(np.nan) if ratio is None else Interval(ratio.value, ratio.low, ratio.high)
    if figure not in MEASURED:
        return _exactly(e.flops_on_scenes(setting, scenes) / 1e9)
    row = e.profile_of(setting)
    return _exactly(np.nan if row is None else MEASURED[figure](row))


def _exactly(value: float) -> Interval:
    return Interval(value, np.nan, np.nan)


def front(points: list[tuple[float, float]], better: str) -> list[tuple[float, float]]:
    """The (cost, quality) points that no other one beats in both, by ascending cost."""
    sign = 1 if better == "lower" else -1
    out: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda p: (p[0], sign * p[1])):
        if not out or sign * value < sign * out[-1][1]:
            out.append((cost, value))
    return out


def pareto(e: Evidence, figure: str, columns: tuple[Column, ...], folder: Path) -> Path | None:
    """One panel per metric: the front as steps, settings of one method joined by a line.

    None when the cost of fewer than two settings is known.
    """
    table = e.ranked(e.everywhere())
    common = common_scenes(table)
    points = _points(e, table, common, figure)
    if len(points) < 2:
        return None
    rows = -(-len(columns) // ACROSS)
    drawing, axes = panels(rows, ACROSS, TWO_COLUMNS, PANEL * rows)
    means = []
    for axis, column in zip(axes, columns, strict=False):
        weights = weights_of(table, column)
        own = _means(of_scenes(table, column, common), points, weights)
        means.append(own)
        _draw(axis, own, column.better)
        axis.set(xlabel=COSTS[figure], ylabel=column.title)
        _scale(axis, points, figure)
    for axis in axes[len(columns) :]:
        axis.remove()
    missing = [
        name_of(s, table) for s in settings_of(table) if s not in {p.setting for p in points}
    ]
    if missing:
        text = f"{LACKING.get(figure, 'Not measured')}, so not shown: {listed(missing)}."
        drawing.supxlabel(text, fontsize=SMALL, color=GREY, x=0.01, ha="left")
    settle(drawing)
    for axis, own in zip(axes, means, strict=False):
        label_points(axis, _labels(own))
    return save(drawing, folder, figure)


def _labels(means: dict[Point, Interval]) -> list[Label]:
    """The dearest setting of a method has its name, others what tells them from it alone."""
    found = []
    named = set()
    for point in sorted(means, key=lambda p: -p.cost.mean):
        name, _, options = point.name.partition(" (")
        text = options.removesuffix(")") if name in named else point.name
        named.add(name)
        colour = look_of(point.setting.method).colour
        found.append(Label(point.cost.mean, means[point].mean, wrapped(text), colour))
    return found


def _scale(axis: Axes, points: list[Point], figure: str) -> None:
    costs = [p.cost.mean for p in points]
    axis.margins(x=0.2, y=0.15)
    if figure == TIME or max(costs) / min(costs) > LOG_FROM:
        axis.set_xscale("log")
        log_ticks(axis.xaxis)


def _points(e: Evidence, table: pd.DataFrame, common: pd.Index, figure: str) -> list[Point]:
    points = []
    for setting in settings_of(table):
        cost = cost_of(e, setting, common, figure)
        if np.isfinite(cost.mean) and cost.mean > 0:
            points.append(Point(setting, name_of(setting, table), cost))
    return points


def _means(
    values: pd.DataFrame, points: list[Point], weights: pd.Series | None
) -> dict[Point, Interval]:
    """Mean quality of the points that have one; ``values``: a column per setting."""
    out: dict[Point, Interval] = {}
    for point in points:
        if point.setting in values.columns:
            found = interval(values[point.setting], weights)
            if found is not None:
                out[point] = found
    return out


def _draw(axis: Axes, means: dict[Point, Interval], better: str) -> None:
    best = front([(p.cost.mean, quality.mean) for p, quality in means.items()], better)
    axis.step(*_columns(best), where="post", color=BLACK, linewidth=0.7, linestyle=":", zorder=1)
    by_method: dict[tuple[str, str], list[Point]] = {}
    for point in means:
        by_method.setdefault((point.setting.method, point.setting.backbone), []).append(point)
    for (method, _), own in by_method.items():
        if len(own) > 1:
            line = sorted((p.cost.mean, means[p].mean) for p in own)
            axis.plot(
                *_columns(line), color=look_of(method).colour, linewidth=0.8, alpha=0.6, zorder=2
            )
    _dots(axis, means)


def _dots(axis: Axes, means: dict[Point, Interval]) -> None:
    """A marker for every point, with the interval of its cost where there is one."""
    by_marker: dict[str, list[Point]] = {}
    for point in means:
        by_marker.setdefault(look_of(point.setting.method).marker, []).append(point)
    for marker, own in by_marker.items():
        colours = [look_of(point.setting.method).colour for point in own]
        values = [means[point].mean for point in own]
        low = [point.cost.low for point in own]
        high = [point.cost.high for point in own]
        if np.isfinite(low).any():
            axis.hlines(values, low, high, colors=colours, linewidth=0.6, zorder=2)
        costs = [point.cost.mean for point in own]
        axis.scatter(costs, values, color=colours, marker=marker, s=14, zorder=3, linewidths=0)


def _columns(pairs: list[tuple[float, float]]) -> np.ndarray:
    """Pairs [N, 2], perhaps none, as two rows [2, N]."""
    return np.reshape(pairs, (-1, 2)).T
