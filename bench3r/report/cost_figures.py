"""Quality against what it costs: Pareto fronts over FLOPs, time, memory and energy, and quality over an option's values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from bench3r.report.adaptive import Evidence
from bench3r.report.figures import looks_of, save
from bench3r.report.summary import (
    SETTING,
    Column,
    common_scenes,
    interval,
    over_seeds,
    reference_of,
    settings,
    weights_of,
    wide,
)
from bench3r.report.tables import QUALITY, flops_of, name_of, of_setting, peak_bytes

COSTS = {  # name of the figure -> axis label
    "pareto": "GFLOPs per scene, counted",
    "pareto_time": "time (s)",
    "pareto_memory": "peak memory (GB)",
    "pareto_energy": "energy (J)",
}


def cost_of(e: Evidence, setting: pd.Series, common: pd.Index, figure: str) -> float:
    """What one scene costs ``setting``, in the unit of :data:`COSTS`; NaN when it was not measured."""
    if figure == "pareto":
        return flops_of(e.facts, setting, common) / 1e9
    own = of_setting(e.profiles, setting)
    own = own[own["frames"].eq(e.frames) & own["status"].eq("ok")] if len(own) else own
    if not len(own):
        return float("nan")
    row = own.iloc[0]
    if figure == "pareto_time":
        return float(np.median(row["seconds"]))
    value = peak_bytes(row) / 1e9 if figure == "pareto_memory" else row.get("energy_j")
    return float(value) if value is not None else float("nan")


def front(points: list[tuple[float, float]], better: str) -> list[tuple[float, float]]:
    """The (cost, quality) points that no other one beats in both, by ascending cost."""
    sign, out = (1 if better == "lower" else -1), list[tuple[float, float]]()
    for cost, value in sorted(points, key=lambda p: (p[0], sign * p[1])):
        if not out or sign * value < sign * out[-1][1]:
            out.append((cost, value))
    return out


def pareto(e: Evidence, figure: str, columns: tuple[Column, ...], folder: Path) -> Path | None:
    """Quality against one cost, one panel per metric: the front as steps, the shallower VGGTs joined as the line to beat."""
    table = e.everywhere()
    table = table[table["kind"] != "control"]
    rows, common = settings(table), common_scenes(table)
    points = [(r, cost_of(e, r, common, figure)) for _, r in rows.iterrows()]
    points = [(r, f) for r, f in points if np.isfinite(f)]
    if len(points) < 2:
        return None
    looks = looks_of(list(dict.fromkeys(r["label"] for r, _ in points)))
    joined = looks.get("shallower VGGT", ("gray", "o"))[0]
    spread = max(f for _, f in points) / min(f for _, f in points)
    drawing, axes = plt.subplots(1, len(columns), figsize=(3.6 * len(columns), 3.4), squeeze=False)
    for axis, column in zip(axes[0], columns, strict=True):
        values = wide(table, column)
        values = over_seeds(values[values.index.isin(common)])
        means = {tuple(r): values[tuple(r)].mean() for r, _ in points if tuple(r) in values.columns}
        means = {k: m for k, m in means.items() if np.isfinite(m)}
        line = sorted(
            (f, means[tuple(r)])
            for r, f in points
            if r["method"] == "shallow" and tuple(r) in means
        )
        axis.plot([f for f, _ in line], [m for _, m in line], color=joined, alpha=0.6)
        best = front([(f, means[tuple(r)]) for r, f in points if tuple(r) in means], column.better)
        axis.step(
            [f for f, _ in best],
            [m for _, m in best],
            where="post",
            color="black",
            linewidth=0.8,
            linestyle=":",
        )
        for r, f in points:
            if tuple(r) in means:
                colour, marker = looks[r["label"]]
                axis.scatter(
                    f, means[tuple(r)], color=colour, marker=marker, label=r["label"], zorder=3
                )
        axis.set(xlabel=COSTS[figure], ylabel=column.title)
        if means and spread > 3:
            _log_ticks(axis)
    drawn = [
        pair for axis in axes[0] for pair in zip(*axis.get_legend_handles_labels(), strict=True)
    ]
    unique = {label: handle for handle, label in drawn}
    axes[0, -1].legend(
        unique.values(), unique.keys(), loc="upper left", bbox_to_anchor=(1, 1), fontsize=8
    )
    drawing.tight_layout()
    return save(drawing, folder, figure)


def _log_ticks(axis: Axes) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def numeric_axis(rows: pd.DataFrame) -> tuple[str, list[tuple[float, tuple[str, ...]]]] | None:
    """The one numeric option in which the plug-ins of ``rows`` differ, and its values with their settings, ascending.

    None when they are of several methods or backbones, differ in anything else, or have fewer than three values.
    """
    own = settings(rows[rows["kind"].eq("plugin")])
    if own["method"].nunique() != 1 or own["backbone"].nunique() != 1:
        return None
    options: list[dict[str, Any]] = [json.loads(o) for o in own["options"]]
    varied = [k for k in options[0] if len({json.dumps(o.get(k)) for o in options}) > 1]
    if len(varied) != 1 or len(options) < 3:
        return None
    values = [o[varied[0]] for o in options]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return None
    return varied[0], sorted(
        (float(v), tuple(r)) for v, (_, r) in zip(values, own[SETTING].iterrows(), strict=True)
    )


def option_curves(e: Evidence, folder: Path) -> list[tuple[str, Path]]:
    """One figure per ablation over one numeric option: quality and FLOPs over its values, the unchanged backbone beside."""
    out = []
    for name in e.plan.run_config().ablations:
        rows = with_default(e, name)
        axis = numeric_axis(rows) if len(rows) else None
        if axis:
            option, points = axis
            title = name_of(rows[rows["kind"].eq("plugin")].iloc[0], rows).split(" (")[0]
            out.append(
                (
                    f"{title}: quality over {option}.",
                    _draw_option(e, rows, option, points, folder, name),
                )
            )
    return out


def with_default(e: Evidence, name: str) -> pd.DataFrame:
    """Rows of the ablation ``name``, with those of its method's main cells on the same scenes."""
    rows = e.rows_of(name)
    method = rows.loc[rows["kind"].eq("plugin"), ["method", "backbone"]].drop_duplicates()
    if len(method) != 1:
        return rows
    main = e.rows_of("main")
    same = main["method"].eq(method.iloc[0, 0]) & main["backbone"].eq(method.iloc[0, 1])
    return pd.concat(
        [rows, main[same & main["dataset"].isin(rows["dataset"].unique())]]
    ).drop_duplicates()


def _draw_option(
    e: Evidence,
    rows: pd.DataFrame,
    option: str,
    points: list[tuple[float, tuple[str, ...]]],
    folder: Path,
    name: str,
) -> Path:
    common, dense = common_scenes(rows), reference_of(points[0][1][-1])
    drawing, axes = plt.subplots(
        1, len(QUALITY) + 1, figsize=(3.2 * (len(QUALITY) + 1), 2.9), squeeze=False
    )
    x = [v for v, _ in points]
    for axis, column in zip(axes[0], QUALITY, strict=False):
        values, weights = wide(rows, column), weights_of(rows, column)
        values = over_seeds(values[values.index.isin(common)])
        found = {k: interval(values[k], weights) for k in values.columns}
        stats = [found.get(k) for _, k in points]
        means, low, high = (
            [getattr(s, p) if s else np.nan for s in stats] for p in ("mean", "low", "high")
        )
        axis.plot(x, means, marker="o", color="#0072b2")
        axis.fill_between(x, low, high, color="#0072b2", alpha=0.2)
        unchanged = next((s.mean for k, s in found.items() if k[0] == dense and s), None)
        if unchanged is not None:
            axis.axhline(unchanged, color="black", linestyle="--", linewidth=0.8)
        axis.set(xlabel=option, ylabel=column.title)
    every = {tuple(r): flops_of(e.facts, r, common) / 1e9 for _, r in settings(rows).iterrows()}
    axes[0, -1].plot(x, [every[k] for _, k in points], marker="s", color="#d55e00")
    unchanged = next((v for k, v in every.items() if k[0] == dense), np.nan)
    if np.isfinite(unchanged):
        axes[0, -1].axhline(
            unchanged, color="black", linestyle="--", linewidth=0.8, label="unchanged backbone"
        )
        axes[0, -1].legend(fontsize=7)
    axes[0, -1].set(xlabel=option, ylabel="GFLOPs per scene, counted")
    for axis in axes[0]:
        axis.set_xticks(x if len(x) <= 8 else axis.get_xticks())
    drawing.tight_layout()
    return save(drawing, folder, f"option_{name}")
