"""How the scoring rule alone orders methods: a line per method over the rules of a quantity."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from bench3r.report.families import Measured
from bench3r.report.figures.drawing import BLACK, TWO_COLUMNS, panels, save
from bench3r.report.figures.looks import look_of
from bench3r.report.names import dataset_label

ACROSS = 2  # panels
ROW = 0.145  # inches of a method
LETTERS = 34  # of a method's name
LINE = 36  # letters below a panel
MOVED = 3  # ranks from which on a line is thick


def rankings(found: Sequence[Measured], methods: Mapping[str, str], folder: Path) -> Path:
    """One panel per quantity: the rank of every method under every rule, the best on top.

    ``methods``: which method a row of ``found`` is, by its name.
    """
    rows = -(-len(found) // ACROSS)
    most = max(len(m.means) for m in found)
    across = min(ACROSS, len(found))
    figure, axes = panels(rows, across, TWO_COLUMNS, rows * (ROW * most + 0.7))
    for axis, m in zip(axes, found, strict=False):
        _panel(axis, m, methods)
    for axis in axes[len(found) :]:
        axis.remove()
    return save(figure, folder, "protocol_sensitivity")


def ranks_of(m: Measured) -> pd.DataFrame:
    """The rank of every method (rows) under every rule (columns), from 1; equal means share one."""
    return m.means.rank(ascending=m.family.better == "lower", method="min")


def _panel(axis: Axes, m: Measured, methods: Mapping[str, str]) -> None:
    places = range(m.means.shape[1])
    ranks = ranks_of(m)
    first = ranks.rank(method="first").iloc[:, 0].sort_values()
    for name, own in ranks.iterrows():
        look = look_of(methods.get(str(name), ""))
        moved = own.max() - own.min()
        axis.plot(
            places,
            own,
            color=look.colour,
            marker=look.marker,
            linewidth=1.6 if moved >= MOVED else 0.8,
        )
    names = [textwrap.shorten(str(name), LETTERS, placeholder=" …") for name in first.index]
    axis.set_yticks(first.to_numpy(), names)
    axis.set_ylim(len(ranks) + 0.6, 0.4)
    axis.set_xlim(-0.15, places[-1] + 0.15)
    width = LINE // len(places)
    axis.set_xticks(places, [textwrap.fill(str(rule), width) for rule in m.means.columns])
    axis.set_xlabel(f"least agreement τ = {m.agreement():.2f}")
    axis.grid(visible=False, axis="x")
    axis.set_title(f"{m.family.title}, {dataset_label(m.dataset)}")
    for place in places:
        axis.axvline(place, color=BLACK, linewidth=0.3, zorder=0)
