"""Quality against what it costs: the settings that no other one beats in both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from bench3r.report.columns import Column
from bench3r.report.evidence import CostRow, Evidence, Setting, methods, settings_of
from bench3r.report.figures.drawing import Colour, log_ticks, looks_of, save
from bench3r.report.summary import common_scenes, of_scenes

COSTS: dict[str, str] = {  # name of the figure -> axis label
    "pareto": "GFLOPs per scene, counted",
    "pareto_time": "time (s)",
    "pareto_memory": "peak memory (GB)",
    "pareto_energy": "energy (J)",
}
MEASURED: dict[str, Callable[[CostRow], float]] = {  # those that the profile stage measures
    "pareto_time": lambda row: row.median_seconds,
    "pareto_memory": lambda row: row.peak_bytes / 1e9,
    "pareto_energy": lambda row: row.energy_j,
}
LOG_FROM = 3  # ratio of the largest to the smallest cost from which on their axis is logarithmic


@dataclass(frozen=True)
class Point:
    """A setting and what one scene costs it."""

    setting: Setting
    cost: float

    @property
    def is_control(self) -> bool:
        """Whether it is the plainly shallower model that adaptive methods have to beat."""
        return methods()[self.setting.method].depth_control


def cost_of(e: Evidence, setting: Setting, scenes: pd.Index, figure: str) -> float:
    """What one of ``scenes`` costs, in the unit of :data:`COSTS`; NaN when it was not measured."""
    if figure not in MEASURED:
        return e.flops_of(setting, scenes) / 1e9
    row = e.profile_of(setting)
    return float("nan") if row is None else MEASURED[figure](row)


def front(points: list[tuple[float, float]], better: str) -> list[tuple[float, float]]:
    """The (cost, quality) points that no other one beats in both, by ascending cost."""
    sign = 1 if better == "lower" else -1
    out: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda p: (p[0], sign * p[1])):
        if not out or sign * value < sign * out[-1][1]:
            out.append((cost, value))
    return out


def pareto(e: Evidence, figure: str, columns: tuple[Column, ...], folder: Path) -> Path | None:
    """One panel per metric: the front as steps, the depth control's settings joined by a line.

    None when the cost of fewer than two settings is known.
    """
    table = e.ranked(e.everywhere())
    common = common_scenes(table)
    points = _points(e, table, common, figure)
    if len(points) < 2:
        return None
    looks = looks_of(list(dict.fromkeys(p.setting.label for p in points)))
    costs = [p.cost for p in points]
    logarithmic = max(costs) / min(costs) > LOG_FROM
    size = (3.6 * len(columns), 3.4)
    drawing, axes = plt.subplots(1, len(columns), figsize=size, squeeze=False)
    for axis, column in zip(axes[0], columns, strict=True):
        means = _means(of_scenes(table, column, common), points)
        _draw(axis, means, looks, column.better)
        axis.set(xlabel=COSTS[figure], ylabel=column.title)
        if means and logarithmic:
            axis.set_xscale("log")
            log_ticks(axis.xaxis)
    _legend(list(axes[0]))
    drawing.tight_layout()
    return save(drawing, folder, figure)


def _points(e: Evidence, table: pd.DataFrame, common: pd.Index, figure: str) -> list[Point]:
    points = []
    for setting in settings_of(table):
        cost = cost_of(e, setting, common, figure)
        if np.isfinite(cost):
            points.append(Point(setting, cost))
    return points


def _means(values: pd.DataFrame, points: list[Point]) -> dict[Point, float]:
    """Mean quality of the points that have one; ``values``: a column per setting."""
    out: dict[Point, float] = {}
    for point in points:
        mean = values[point.setting].mean() if point.setting in values.columns else np.nan
        if np.isfinite(mean):
            out[point] = float(mean)
    return out


def _draw(
    axis: Axes, means: dict[Point, float], looks: dict[str, tuple[Colour, str]], better: str
) -> None:
    controls = [p for p in means if p.is_control]
    colour = looks[controls[0].setting.label][0] if controls else "gray"
    line = sorted((p.cost, means[p]) for p in controls)
    costs, values = _columns(line)
    axis.plot(costs, values, color=colour, alpha=0.6)
    best = front([(p.cost, value) for p, value in means.items()], better)
    costs, values = _columns(best)
    axis.step(costs, values, where="post", color="black", linewidth=0.8, linestyle=":")
    for point, quality in means.items():
        label = point.setting.label
        colour, marker = looks[label]
        axis.scatter(point.cost, quality, color=colour, marker=marker, label=label, zorder=3)


def _columns(pairs: list[tuple[float, float]]) -> np.ndarray:
    """Pairs [N, 2], perhaps none, as two rows [2, N]."""
    return np.reshape(pairs, (-1, 2)).T


def _legend(axes: list[Axes]) -> None:
    """One legend for all panels, each label once."""
    handles: dict[str, Artist] = {}
    for axis in axes:
        found, labels = axis.get_legend_handles_labels()
        handles.update(zip(labels, found, strict=True))
    labels = list(handles)
    shown = list(handles.values())
    axes[-1].legend(shown, labels, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
