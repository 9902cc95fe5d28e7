"""Figures as tests look at them: where their texts are, and whether one covers another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bench3r.report.figures.drawing import settle

SLACK = 1.0  # pixels that boxes may share, or stand out by


@contextmanager
def kept(module: object) -> Iterator[list[plt.Figure]]:
    """Figures that ``module`` would write, kept open and laid out instead."""
    found: list[plt.Figure] = []

    def keep(figure: plt.Figure, folder: Path, name: str) -> Path:
        settle(figure)
        figure.canvas.draw()
        found.append(figure)
        return folder / f"{name}.png"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "save", keep)
        yield found
    for figure in found:
        plt.close(figure)


def texts_of(figure: plt.Figure) -> list[Text]:
    """Every text that can be seen, tick labels within their axis alone."""
    found = []
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip():
            found.append(text)
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                inside = low <= tick.get_loc() <= high
                for label in (tick.label1, tick.label2):
                    if not (inside and axes.axison and label.get_visible()):
                        hidden.add(label)
    return [text for text in found if text not in hidden]


def covered(figure: plt.Figure) -> list[tuple[str, str]]:
    """Pairs of texts of which one covers the other."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(figure)]
    found = []
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        both = Bbox.intersection(a, b)
        if both is not None and both.width > SLACK and both.height > SLACK:
            found.append((one, other))
    return found


def cut_off(figure: plt.Figure) -> list[str]:
    """Texts that stand out of the figure."""
    frame = figure.bbox
    found = []
    for text in texts_of(figure):
        box = text.get_window_extent()
        inside = box.x0 >= frame.x0 - SLACK and box.x1 <= frame.x1 + SLACK
        inside &= box.y0 >= frame.y0 - SLACK and box.y1 <= frame.y1 + SLACK
        if not inside:
            found.append(text.get_text())
    return found
