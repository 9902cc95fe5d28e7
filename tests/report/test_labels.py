"""Labels beside points and lines: none on another, none out of the picture."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from bench3r.report.figures.arrangement import spread
from bench3r.report.figures.drawing import TWO_COLUMNS, panels
from bench3r.report.figures.labels import Label, label_ends, label_points

NAMES = [f"a method called {n}" for n in range(14)]


def boxes(axis: Axes) -> list[Bbox]:
    """The boxes of all texts that were written on ``axis``."""
    return [text.get_window_extent() for text in axis.texts]


def overlaps(found: list[Bbox]) -> int:
    """How many pairs of boxes cover each other by more than a tenth of a pixel."""
    count = 0
    for a, b in itertools.combinations(found, 2):
        both = Bbox.intersection(a, b)
        count += both is not None and both.width > 0.1 and both.height > 0.1
    return count


def crowd(seed: int) -> list[Label]:
    """Points of which most are close together, as those of methods are."""
    rng = np.random.default_rng(seed)
    x = 4 + np.abs(rng.normal(0, 0.4, len(NAMES)))
    y = 0.05 + rng.normal(0, 0.004, len(NAMES))
    x[0] = 12.0
    return [Label(*point, "black") for point in zip(x, y, NAMES, strict=True)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_labels_of_points_cover_neither_each_other_nor_the_frame(seed, scale):
    figure, (axis, _) = panels(1, 2, TWO_COLUMNS, 2.6)
    labels = crowd(seed)
    axis.scatter([label.x for label in labels], [label.y for label in labels], s=14)
    axis.set_xscale(scale)
    axis.margins(x=0.2, y=0.15)
    label_points(axis, labels)
    found = boxes(axis)
    assert len(found) == len(labels)
    assert overlaps(found) == 0
    frame = axis.get_window_extent()
    for box in found:
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert frame.y0 <= box.y0
        assert box.y1 <= frame.y1


def test_a_plain_annotation_would_cover_others():
    """The case above is one: without an arrangement its labels cover each other."""
    _, (axis, _) = panels(1, 2, TWO_COLUMNS, 2.6)
    labels = crowd(0)
    axis.scatter([label.x for label in labels], [label.y for label in labels])
    for label in labels:
        axis.annotate(label.text, (label.x, label.y))
    assert overlaps(boxes(axis)) > 10


def test_labels_of_lines_stand_in_their_order_right_of_the_axis():
    figure, (axis,) = panels(1, 1, TWO_COLUMNS, 2.6)
    ends = [1.0, 1.01, 1.02, 5.0, 1.005]
    for end in ends:
        axis.plot([0, 1], [0, end])
    label_ends({axis: [Label(1, end, f"line {end}", "black") for end in ends]})
    found = boxes(axis)
    assert overlaps(found) == 0
    heights = [box.y0 for box in found]
    assert np.argsort(heights).tolist() == np.argsort(ends).tolist()
    frame = axis.get_window_extent()
    wide = figure.get_size_inches()[0] * figure.dpi
    assert all(frame.x1 < box.x0 and box.x1 <= wide for box in found)


def test_spread_keeps_what_is_apart_and_shares_the_mean_of_a_group():
    assert spread(np.array([0.0, 10.0, 20.0]), 5).tolist() == [0, 10, 20]
    assert spread(np.array([9.0, 10.0, 11.0]), 5).tolist() == [5, 10, 15]
    together = spread(np.array([0.0, 1.0, 2.0, 12.0]), 5)
    assert np.diff(together).min() >= 5 - 1e-9
    assert together.mean() == pytest.approx(3.75)
