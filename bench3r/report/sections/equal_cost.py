"""Adaptive depth against a plainly shallower model of the same cost, paired by scene."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from bench3r.metrics.statistics import paired_interval
from bench3r.report.columns import QUALITY, Column
from bench3r.report.evidence import Evidence, Setting, methods, settings_of
from bench3r.report.names import name_of
from bench3r.report.section import Section
from bench3r.report.summary import common_scenes, of_scenes
from bench3r.report.tables import MISSING, Table

WORDS = {"+": "better", "-": "worse", "=": "not told apart"}
NOTE = (
    "Difference to the fine-tuned, plainly shallower backbone at the same measured FLOPs (linear "
    "between its variants), 95 % paired bootstrap over scenes: + better, - worse, = not told "
    "apart. All fine-tuned variants had the same steps on the same data."
)


class CurvePoint(NamedTuple):
    """A setting of the control: its FLOPs, and its value on every scene."""

    flops: float
    values: pd.Series


def equal_cost_table(e: Evidence) -> Iterator[Table]:
    """Every adaptive setting against the control at the same FLOPs."""
    rows = e.ranked(e.everywhere())
    known = methods()
    controls = {name for name, method in known.items() if method.depth_control}
    adaptive = {name for name, method in known.items() if method.adapts_depth}
    settings = settings_of(rows)
    if not any(s.method in controls for s in settings):
        return
    common = common_scenes(rows)
    costs = {s: e.flops_of(s, common) for s in settings}
    quality = {column: of_scenes(rows, column, common) for column in QUALITY}
    listed = []
    for setting in settings:
        if setting.method not in adaptive or not math.isfinite(costs[setting]):
            continue
        row: dict[str, object] = {"method": name_of(setting, rows)}
        row["FLOPs (G)"] = costs[setting] / 1e9
        for column, values in quality.items():
            curve = control_curve(values, costs, controls)
            row |= _against_control(values, column, setting, curve, costs[setting])
        listed.append(row)
    if not listed:
        return
    raw = pd.DataFrame(listed)
    shown = raw[[c for c in raw.columns if "/" not in c]].copy()
    shown["FLOPs (G)"] = [f"{flops:.2f}" for flops in raw["FLOPs (G)"]]
    title = "Does adaptive depth beat a shallower model of the same cost?"
    notes = [NOTE, *answers(raw)]
    yield Table(f"equal_cost{e.suffix}", title, e.about, shown, raw, notes)


def control_curve(
    values: pd.DataFrame, costs: dict[Setting, float], controls: set[str]
) -> list[CurvePoint]:
    """The control's settings among ``values`` (scenes by settings), ascending in FLOPs."""
    points = []
    for setting in values.columns:
        flops = costs.get(setting, math.nan)
        if setting.method in controls and math.isfinite(flops):
            points.append(CurvePoint(flops, values[setting]))
    return sorted(points, key=lambda point: point.flops)


def at_cost(curve: list[CurvePoint], flops: float) -> tuple[pd.Series, str]:
    """The control's value on every scene at ``flops``, and a remark.

    Linear between its settings; beyond them the nearest.
    """
    first = curve[0]
    last = curve[-1]
    if flops <= first.flops:
        return first.values, f"costs {flops / first.flops - 1:+.1%} against the cheapest control"
    for low, high in itertools.pairwise(curve):
        if low.flops <= flops < high.flops:
            share = (flops - low.flops) / (high.flops - low.flops)
            return (1 - share) * low.values + share * high.values, "between two controls"
    more = flops / last.flops - 1
    return last.values, f"costs {more:+.1%} against the most expensive control"


def _against_control(
    values: pd.DataFrame, column: Column, setting: Setting, curve: list[CurvePoint], flops: float
) -> dict[str, object]:
    """Shown and raw entries of one adaptive setting in one column."""
    if not curve or setting not in values.columns:
        return {column.title: MISSING}
    control, remark = at_cost(curve, flops)
    both = pd.concat([values[setting], control], axis=1).dropna()
    if len(both) < 2:
        return {column.title: MISSING}
    d = paired_interval(both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy())
    sign = "="
    if d.excludes_zero:
        sign = "+" if (d.mean < 0) == (column.better == "lower") else "-"
    form = f"+.{column.digits}f"
    return {
        column.title: f"{sign} {d.mean:{form}} [{d.low:{form}}, {d.high:{form}}]",
        "cost": remark,
        f"{column.key}/delta": d.mean,
        f"{column.key}/low": d.low,
        f"{column.key}/high": d.high,
        f"{column.key}/verdict": sign,
    }


def answers(raw: pd.DataFrame) -> list[str]:
    """The question in words, one sentence per method."""
    out = []
    for _, row in raw.iterrows():
        metrics: dict[str, list[str]] = {}
        for column in raw.columns:
            if column.endswith("/verdict") and isinstance(row[column], str):
                metrics.setdefault(row[column], []).append(column.split("/")[1])
        parts = [f"{WORDS[s]} in {', '.join(metrics[s])}" for s in WORDS if s in metrics]
        out.append(
            f"**{row['method']}** against a shallower backbone of equal cost: {'; '.join(parts)}."
        )
    return out


SECTION = Section("equal_cost", 80, "depth", frame_tables=equal_cost_table)
