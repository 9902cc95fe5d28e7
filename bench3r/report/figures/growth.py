"""Over frame counts: how many times as fast a method is, and what memory and FLOPs it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, NullLocator

from bench3r.measure.pairs import Ratio
from bench3r.models.catalogue import label_of_network
from bench3r.report.figures.drawing import BLACK, TWO_COLUMNS, log_ticks, panels, save
from bench3r.report.figures.labels import Label, label_ends
from bench3r.report.figures.looks import look_of
from bench3r.report.growth import FLOPS, MEMORY, Growth
from bench3r.report.names import label_of
from bench3r.report.settings import Setting

MEASURES = (MEMORY, FLOPS)  # what processes of their own may be compared by
TALL = 2.6  # inches of a panel


def speed_up(found: list[Growth], folder: Path) -> Path | None:
    """Paired speed-up over frames with its interval, one panel per unchanged backbone.

    None where no method was timed in turn with its backbone.
    """
    paired = [one for one in found if not one.is_unchanged and any(one.ratios)]
    if not paired:
        return None
    by_backbone = _by_backbone(paired)
    figure, axes = panels(len(by_backbone), 1, TWO_COLUMNS, TALL * len(by_backbone))
    ends = {}
    for axis, (backbone, own) in zip(axes, by_backbone.items(), strict=True):
        for one in own:
            _draw_speed_up(axis, one)
        axis.axhline(1, color=BLACK, linewidth=0.8, linestyle="--")
        label = label_of_network(backbone)
        axis.set(yscale="log", ylabel=f"times as fast as {label}, paired")
        _frames_axis(axis, own)
        log_ticks(axis.yaxis, 6)
        ends[axis] = _end_labels(own, list(map(_speed, own)))
    axes[-1].set_xlabel("frames")
    label_ends(ends)
    return save(figure, folder, "speed_up")


def _draw_speed_up(axis: Axes, one: Growth) -> None:
    """The line of a method, its intervals as a band; what is suspect has open markers."""
    look = look_of(one.method)
    known = [(n, r.inverse) for n, r in zip(one.frames, one.ratios, strict=True) if r is not None]
    frames = [n for n, _ in known]
    axis.plot(frames, [r.value for _, r in known], color=look.colour)
    low = [r.low for _, r in known]
    high = [r.high for _, r in known]
    axis.fill_between(frames, low, high, color=look.colour, alpha=0.13, linewidth=0)
    for n, ratio in known:
        face = "white" if ratio.suspect else look.colour
        axis.plot(n, ratio.value, look.marker, color=look.colour, markerfacecolor=face)


def _speed(one: Growth) -> np.ndarray:
    """Speed-up at every frame count [N]; NaN where there are no pairs."""
    return np.array([_value(ratio) for ratio in one.ratios], float)


def _value(ratio: Ratio | None) -> float:
    return np.nan if ratio is None else 1 / ratio.value


def growth(found: list[Growth], folder: Path) -> Path:
    """Memory and FLOPs over frames on logarithmic axes, one row per unchanged backbone.

    Times are in :func:`speed_up`: seconds of different processes compare no methods.
    """
    by_backbone = _by_backbone(found)
    rows = len(by_backbone)
    figure, axes = panels(rows, len(MEASURES), TWO_COLUMNS, TALL * rows)
    grid = np.array(axes).reshape(rows, len(MEASURES))
    ends = {}
    for row, (backbone, own) in zip(grid, by_backbone.items(), strict=True):
        for axis, title in zip(row, MEASURES, strict=True):
            for one in own:
                look = look_of(one.method)
                axis.plot(one.frames, one.costs[title], color=look.colour, marker=look.marker)
            axis.set(yscale="log", ylabel=title, title=label_of_network(backbone))
            _frames_axis(axis, own)
            log_ticks(axis.yaxis, 6)
            ends[axis] = _end_labels(own, [one.costs[title] for one in own])
    for axis in grid[-1]:
        axis.set_xlabel("frames")
    label_ends(ends)
    return save(figure, folder, "scaling")


def _by_backbone(found: list[Growth]) -> dict[str, list[Growth]]:
    out: dict[str, list[Growth]] = {}
    for one in found:
        out.setdefault(one.unchanged, []).append(one)
    return out


def _frames_axis(axis: Axes, own: list[Growth]) -> None:
    """A logarithmic axis with a tick at every measured count that has room."""
    ticks = sorted(set(np.concatenate([one.frames for one in own])))
    axis.set_xscale("log")
    apart = [ticks[0]]
    for tick in ticks[1:]:
        if tick / apart[-1] >= 1.2:
            apart.append(tick)
    axis.set_xticks(apart)
    axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axis.xaxis.set_minor_locator(NullLocator())


def _end_labels(own: list[Growth], lines: list[np.ndarray]) -> list[Label]:
    """The names of ``own`` where their ``lines``, values at every frame count, end."""
    labels = []
    for one, values in zip(own, lines, strict=True):
        known = np.flatnonzero(np.isfinite(values))
        if len(known):
            end = known[-1]
            colour = look_of(one.method).colour
            labels.append(Label(one.frames[end], values[end], _name(one, own), colour))
    return labels


def _name(one: Growth, own: list[Growth]) -> str:
    """The method's label, with the options that tell it from others of the same method."""
    same = [_options(other) for other in own if other.method == one.method]
    return label_of(one.method, one.label, _options(one), same)


def _options(one: Growth) -> dict[str, object]:
    return dict(Setting(one.method, one.label, "", one.options, "").values)
