"""Paired time of every method at one frame count, beside what its FLOPs would promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench3r.measure.pairs import Ratio
from bench3r.report.figures.drawing import (
    BLACK,
    GREY,
    ONE_COLUMN,
    log_ticks,
    panels,
    save,
    wrapped,
)
from bench3r.report.figures.looks import look_of

ROW = 0.235  # inches
FLOPS: dict[str, Any] = {
    "color": BLACK,
    "marker": "d",
    "markersize": 4.5,
    "markerfacecolor": "none",
    "linestyle": "",
}


class Saving(NamedTuple):
    """A method's time and FLOPs over those of its unchanged backbone, on the same input."""

    name: str
    method: str
    time: Ratio
    flops: float  # NaN where they were not counted


def time_ratios(savings: list[Saving], folder: Path) -> Path | None:
    """A row per method: the paired ratio with its interval, and that of counted FLOPs."""
    if not savings:
        return None
    ordered = sorted(savings, key=lambda one: one.time.value)
    figure, (axis,) = panels(1, 1, ONE_COLUMN, ROW * len(ordered) + 0.85)
    for row, one in enumerate(ordered):
        _draw(axis, row, one)
    axis.axvline(1, color=BLACK, linewidth=0.8, linestyle="--")
    axis.set_yticks(
        range(len(ordered)), [wrapped(one.name, 30) for one in ordered], linespacing=0.9
    )
    axis.set(xscale="log", ylim=(len(ordered) - 0.4, -0.6))
    axis.set_xlabel("ratio to the unchanged backbone")
    axis.grid(visible=False, axis="y")
    log_ticks(axis.xaxis, 6)
    handles = [
        Line2D([], [], color=GREY, marker="o", label="time, paired, 95 % CI"),
        Line2D([], [], label="FLOPs, counted", **FLOPS),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return save(figure, folder, "time_ratio")


def _draw(axis: Axes, row: int, one: Saving) -> None:
    """One method; an open marker where its time is suspect."""
    look = look_of(one.method)
    if np.isfinite(one.time.low):
        axis.plot([one.time.low, one.time.high], [row, row], color=look.colour)
    face = "white" if one.time.suspect else look.colour
    axis.plot(one.time.value, row, look.marker, color=look.colour, markerfacecolor=face, zorder=3)
    if np.isfinite(one.flops):
        axis.plot(one.flops, row, zorder=2, **FLOPS)
