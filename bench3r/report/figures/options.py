"""Quality and FLOPs over the values of one numeric option of a method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

from bench3r.metrics.statistics import Interval
from bench3r.models.catalogue import reference_of
from bench3r.report.columns import QUALITY, Column
from bench3r.report.evidence import Evidence, Setting
from bench3r.report.figures.drawing import (
    BLACK,
    TEXT,
    TWO_COLUMNS,
    in_lines,
    panels,
    save,
)
from bench3r.report.figures.looks import look_of
from bench3r.report.names import name_of, plain
from bench3r.report.settings import settings_of, varied_options
from bench3r.report.summary import common_scenes, interval, of_scenes, weights_of

FEWEST = 3  # values of an option that make a curve
FEW = 6  # values of an option that all have a tick
MISSING = Interval(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class OptionValues:
    """The values of one option and the settings that have them, ascending."""

    option: str
    values: list[float]
    settings: list[Setting]

    @property
    def unchanged(self) -> str:
        """The method that they are compared with."""
        return reference_of(self.settings[0].backbone)


def numeric_axis(rows: pd.DataFrame) -> OptionValues | None:
    """The one numeric option in which the plug-ins of ``rows`` differ.

    None when they are of several methods or backbones, differ in anything else, or have too few
    values.
    """
    own = settings_of(rows[rows["kind"].eq("plugin")])
    if len({(s.method, s.backbone) for s in own}) != 1 or len(own) < FEWEST:
        return None
    varied = varied_options(own)
    if len(varied) != 1:
        return None
    found: list[tuple[float, Setting]] = []
    for setting in own:
        value = setting.values[varied[0]]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        found.append((float(value), setting))
    found.sort()
    values, settings = zip(*found, strict=True)
    return OptionValues(varied[0], list(values), list(settings))


def option_curves(e: Evidence, folder: Path) -> list[tuple[str, Path]]:
    """One figure with its caption per ablation over one numeric option."""
    out = []
    for name in e.ablations:
        rows = with_default(e, name)
        axis = numeric_axis(rows)
        if axis:
            title = name_of(axis.settings[0], rows).split(" (")[0]
            path = _draw(e, rows, axis, folder, f"option_{name}")
            out.append((f"{title}: quality over {plain(axis.option)}.", path))
    return out


def with_default(e: Evidence, name: str) -> pd.DataFrame:
    """Rows of the ablation ``name``, with those of its method's main cells on the same scenes."""
    rows = e.rows_of(name)
    pairs = rows.loc[rows["kind"].eq("plugin"), ["method", "backbone"]].drop_duplicates()
    if len(pairs) != 1:
        return rows
    method, backbone = pairs.iloc[0]
    main = e.rows_of("main")
    same = main["method"].eq(method) & main["backbone"].eq(backbone)
    same &= main["dataset"].isin(rows["dataset"].unique())
    return pd.concat([rows, main[same]]).drop_duplicates()


def _draw(e: Evidence, rows: pd.DataFrame, axis: OptionValues, folder: Path, name: str) -> Path:
    """Quality in one panel per metric, FLOPs in the last; dashed: the unchanged backbone."""
    common = common_scenes(rows)
    drawing, axes = panels(1, len(QUALITY) + 1, TWO_COLUMNS, 1.75)
    for panel, column in zip(axes, QUALITY, strict=False):
        _quality(panel, rows, column, common, axis)
    _flops(axes[-1], e, rows, common, axis)
    for panel in axes:
        panel.set_xticks(axis.values if len(axis.values) <= FEW else [])
        panel.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        panel.margins(x=0.1)
        if len(axis.values) > FEW:
            panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.yaxis.set_major_locator(MaxNLocator(5))
    drawing.supxlabel(f"{plain(axis.option)} (dashed: unchanged backbone)", fontsize=TEXT)
    return save(drawing, folder, name)


def _quality(
    panel: Axes, rows: pd.DataFrame, column: Column, common: pd.Index, axis: OptionValues
) -> None:
    """Means over the scenes with their intervals."""
    values = of_scenes(rows, column, common)
    weights = weights_of(rows, column)
    found: dict[Setting, Interval | None] = {}
    for setting in values.columns:
        found[setting] = interval(values[setting], weights)
    colour = look_of(axis.settings[0].method).colour
    stats = np.array([(found.get(s) or MISSING)[:3] for s in axis.settings])
    means, low, high = stats.T
    panel.plot(axis.values, means, marker="o", color=colour)
    panel.fill_between(axis.values, low, high, color=colour, alpha=0.18, linewidth=0)
    unchanged = [stat for s, stat in found.items() if stat and s.method == axis.unchanged]
    if unchanged:
        panel.axhline(unchanged[0].mean, color=BLACK, linestyle="--", linewidth=0.8)
    panel.set_title(in_lines(column.title))


def _flops(
    panel: Axes, e: Evidence, rows: pd.DataFrame, common: pd.Index, axis: OptionValues
) -> None:
    """What the values cost on the same scenes."""
    own = [e.flops_on_scenes(s, common) / 1e9 for s in axis.settings]
    panel.plot(axis.values, own, marker="s", color=look_of(axis.settings[0].method).colour)
    dense = [s for s in settings_of(rows) if s.method == axis.unchanged]
    unchanged = e.flops_on_scenes(dense[0], common) / 1e9 if dense else np.nan
    if np.isfinite(unchanged):
        panel.axhline(unchanged, color=BLACK, linestyle="--", linewidth=0.8)
    panel.set_title("FLOPs ↓\n(G per scene)")
