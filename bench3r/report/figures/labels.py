"""Labels beside what they name, in place of a legend, moved apart until none covers another."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from bench3r.report.figures.arrangement import STEP, Around, Boxes, arrange, spread
from bench3r.report.figures.drawing import POINT, SMALL, Colour, figure_of, settle

LINE_FROM = 7.0  # points of distance from which on a line leads to the label
MARGIN = 1.2  # points between labels
BESIDE = 1.03  # of an axis' width, where labels of lines begin
LED = 0.005  # of it, from a leading line to its label
GAP = 1.15  # heights of a label from one label of a line to the next


class Label(NamedTuple):
    """A text for the point (x, y), in data coordinates."""

    x: float
    y: float
    text: str
    colour: Colour


def label_points(axis: Axes, labels: Sequence[Label]) -> None:
    """Write every label close to its point inside of ``axis``, with a line where it is far.

    Points stay free, and lines where that is possible. Lays the figure out first.
    """
    if not labels:
        return
    figure = figure_of(axis)
    settle(figure)
    points = _in_points(axis, [(label.x, label.y) for label in labels])
    texts = [_text(axis, label) for label in labels]
    sizes = np.array([_size(figure, text) for text in texts]) + MARGIN
    places = arrange(points, sizes, Around(_frame(axis), _on_lines(axis)))
    for text in texts:
        text.remove()
    for label, place in zip(labels, places, strict=True):
        _write(axis, label, place)
    edges = np.clip(points, places - sizes / 2, places + sizes / 2)
    far = np.hypot(*(edges - points).T) > LINE_FROM
    _lead(
        axis,
        [label for label, is_far in zip(labels, far, strict=True) if is_far],
        points[far],
        edges[far],
    )


def _in_points(axis: Axes, data: Sequence[tuple[float, float]] | np.ndarray) -> np.ndarray:
    """Positions on the figure in points, [N, 2], of ``data`` [N, 2]."""
    pixels = axis.transData.transform(np.asarray(data, float).reshape(-1, 2))
    return pixels * POINT / figure_of(axis).dpi


def _on_lines(axis: Axes) -> np.ndarray:
    """Places along the lines of ``axis``, a few points apart: [M, 2]."""
    paths = [np.asarray(line.get_xydata()) for line in axis.get_lines() if _is_data(axis, line)]
    for drawn in axis.collections:
        if isinstance(drawn, LineCollection):
            paths += [np.asarray(segment) for segment in drawn.get_segments()]
    found = [np.empty((0, 2))]
    for path in paths:
        for start, end in itertools.pairwise(_in_points(axis, path)):
            steps = np.arange(0, 1, STEP / max(STEP, np.hypot(*(end - start))))
            found.append(start + steps[:, None] * (end - start))
    return np.concatenate(found)


def _is_data(axis: Axes, line: Line2D) -> bool:
    """Whether ``line`` is in data coordinates, as those across a whole axis are not."""
    return line.get_transform() == axis.transData


def _frame(axis: Axes) -> Boxes:
    box = axis.get_window_extent()
    scale = POINT / figure_of(axis).dpi
    return Boxes(*(np.array([side * scale]) for side in (box.x0, box.y0, box.x1, box.y1)))


def _text(axis: Axes, label: Label) -> Text:
    return axis.text(label.x, label.y, label.text, fontsize=SMALL, color=label.colour)


def _size(figure: Figure, text: Text) -> tuple[float, float]:
    """Width and height of ``text`` in points."""
    box = text.get_window_extent()
    return box.width * POINT / figure.dpi, box.height * POINT / figure.dpi


def _write(axis: Axes, label: Label, centre: np.ndarray) -> None:
    """Write ``label`` with its ``centre`` [2] in points of the figure."""
    scale = figure_of(axis).dpi / POINT
    x, y = axis.transData.inverted().transform(centre * scale)
    axis.text(x, y, label.text, ha="center", va="center", fontsize=SMALL, color=label.colour)


def _lead(axis: Axes, labels: Sequence[Label], starts: np.ndarray, ends: np.ndarray) -> None:
    """Thin lines from ``starts`` to ``ends``, both [N, 2] in points of the figure."""
    scale = figure_of(axis).dpi / POINT
    both = np.stack([starts, ends], 1).reshape(-1, 2) * scale
    data = axis.transData.inverted().transform(both).reshape(-1, 2, 2)
    colours = [label.colour for label in labels]
    lines = LineCollection(list(data), colors=colours, linewidths=0.4, clip_on=False, zorder=1.5)
    axis.add_collection(lines, autolim=False)


def label_ends(ends: Mapping[Axes, Sequence[Label]]) -> None:
    """Write labels right of their axes, at the height of a line's end or as near as fits.

    Lays the figure out with room for them.
    """
    texts: dict[Axes, list[Text]] = {}
    for axis, labels in ends.items():
        texts[axis] = [_beside(axis, label) for label in labels]
    for axis in texts:
        settle(figure_of(axis))
    for axis, own in texts.items():
        if own:
            _move_apart(axis, ends[axis], own)


def _beside(axis: Axes, label: Label) -> Text:
    """``label`` right of ``axis``, still at the height of its point."""
    where = axis.get_yaxis_transform()
    look: dict[str, Any] = {"ha": "left", "va": "center", "fontsize": SMALL, "color": label.colour}
    return axis.text(BESIDE, label.y, label.text, transform=where, **look)


def _move_apart(axis: Axes, labels: Sequence[Label], texts: Sequence[Text]) -> None:
    """Move the ``texts`` of ``labels`` up or down, in the order of their heights; lead to them."""
    scale = POINT / figure_of(axis).dpi
    gap = GAP * scale * max(text.get_window_extent().height for text in texts)
    points = _in_points(axis, [(label.x, label.y) for label in labels])
    order = np.argsort(points[:, 1], kind="stable")
    heights = np.empty(len(order))
    heights[order] = spread(points[order, 1], gap)
    back = axis.transData.inverted()
    for text, height in zip(texts, heights, strict=True):
        text.set_y(back.transform((0, height / scale))[1])
    frame = _frame(axis)
    left = frame.left + (BESIDE - LED) * (frame.right - frame.left)
    _lead(axis, labels, points, np.stack([np.broadcast_to(left, heights.shape), heights], 1))
