"""Quality and FLOPs over the values of one numeric option of a method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench3r.metrics.statistics import Interval
from bench3r.models.catalogue import reference_of
from bench3r.report.columns import QUALITY, Column
from bench3r.report.evidence import Evidence, Setting, settings_of, varied_options
from bench3r.report.figures.drawing import save
from bench3r.report.names import name_of
from bench3r.report.summary import common_scenes, interval, of_scenes, weights_of

FEWEST = 3  # values of an option that make a curve
BLUE = "#0072b2"
ORANGE = "#d55e00"
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
            out.append((f"{title}: quality over {axis.option}.", path))
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
    panels = len(QUALITY) + 1
    drawing, axes = plt.subplots(1, panels, figsize=(3.2 * panels, 2.9), squeeze=False)
    for panel, column in zip(axes[0], QUALITY, strict=False):
        _quality(panel, rows, column, common, axis)
    _flops(axes[0, -1], e, rows, common, axis)
    for panel in axes[0]:
        panel.set_xlabel(axis.option)
        panel.set_xticks(axis.values if len(axis.values) <= 8 else panel.get_xticks())
    drawing.tight_layout()
    return save(drawing, folder, name)


def _quality(
    panel: Axes, rows: pd.DataFrame, column: Column, common: pd.Index, axis: OptionValues
) -> None:
    values = of_scenes(rows, column, common)
    weights = weights_of(rows, column)
    found: dict[Setting, Interval | None] = {}
    for setting in values.columns:
        found[setting] = interval(values[setting], weights)
    stats = np.array([found.get(s) or MISSING for s in axis.settings])
    means, low, high = stats.T
    panel.plot(axis.values, means, marker="o", color=BLUE)
    panel.fill_between(axis.values, low, high, color=BLUE, alpha=0.2)
    unchanged = [stat for s, stat in found.items() if stat and s.method == axis.unchanged]
    if unchanged:
        panel.axhline(unchanged[0].mean, color="black", linestyle="--", linewidth=0.8)
    panel.set_ylabel(column.title)


def _flops(
    panel: Axes, e: Evidence, rows: pd.DataFrame, common: pd.Index, axis: OptionValues
) -> None:
    own = [e.flops_of(s, common) / 1e9 for s in axis.settings]
    panel.plot(axis.values, own, marker="s", color=ORANGE)
    dense = [s for s in settings_of(rows) if s.method == axis.unchanged]
    unchanged = e.flops_of(dense[0], common) / 1e9 if dense else np.nan
    if np.isfinite(unchanged):
        panel.axhline(
            unchanged, color="black", linestyle="--", linewidth=0.8, label="unchanged backbone"
        )
        panel.legend(fontsize=7)
    panel.set_ylabel("GFLOPs per scene, counted")
