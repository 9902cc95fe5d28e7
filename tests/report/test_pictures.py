"""Figures of pictures and of trainings: aligned, with scales, and long enough to read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from bench3r.api.scene import SceneData
from bench3r.report.figures import panels, recursion, training
from bench3r.report.figures.drawing import ONE_COLUMN, TALLEST, TWO_COLUMNS, settle
from bench3r.report.figures.drawing import panels as grid
from bench3r.report.figures.mosaic import MISSING, beside, coloured
from tests.helpers.figures import covered, cut_off, kept, texts_of

NOWHERE = Path("nowhere")
PATCH = 8


def scene() -> SceneData:
    """Two views of a slanted plane with a step, and a corner without depth."""
    depth = np.tile(np.linspace(1, 3, 48, dtype=np.float32), (2, 32, 1))
    depth[:, 10:20, 10:30] *= 0.5
    depth[:, :4, :4] = 0
    images = np.full((2, 32, 48, 3), 130, np.uint8)
    eye = np.tile(np.eye(4), (2, 1, 1))
    return SceneData("s", ("a", "b"), images, eye[:, :3, :3], eye, depth, "m", "indoor", 0.1)


def pictures(figure: object) -> list[Axes]:
    """The axes that hold an image, from top to bottom."""
    found = [axis for axis in figure.axes if axis.images]
    return sorted(found, key=lambda axis: -axis.get_position().y0)


def test_maps_of_recursion_depth_are_aligned_and_have_both_scales():
    depths = {"MoR": np.full((2, 4, 6), 2), "SpatialMoR (max depth 4)": np.full((2, 4, 6), 4)}
    with kept(recursion) as figures:
        recursion.depth_maps(scene(), depths, PATCH, NOWHERE, "maps")
    (figure,) = figures
    shown = pictures(figure)
    assert len(shown) == 4
    places = np.array([axis.get_position().bounds for axis in shown])
    for side in (0, 2, 3):  # left, width, height
        assert np.ptp(places[:, side]) < 1e-9
    texts = [text.get_text() for text in texts_of(figure)]
    assert {"distance from plane", "recursion depth"} <= set(texts)
    assert {"0.001", "0.01", "0.1", "1", "2", "3", "4"} <= set(texts)
    assert not covered(figure)
    assert not cut_off(figure)


def test_a_panel_fits_a_page_whatever_the_number_of_methods():
    known = scene()
    predictions = {f"a method (criterion {n})": known.depth.copy() for n in range(21)}
    with kept(panels) as figures:
        panels.panel(known, predictions, NOWHERE, "panel")
    (figure,) = figures
    width, height = figure.get_size_inches()
    assert width == pytest.approx(TWO_COLUMNS)
    assert height < TALLEST
    assert len(pictures(figure)) == 22
    texts = [text.get_text() for text in texts_of(figure)]
    assert {"z-depth (m)", "relative error of z-depth"} <= set(texts)
    assert not covered(figure)
    assert not cut_off(figure)


def test_colours_mark_what_is_missing():
    shown = coloured(np.array([[[0.0, np.nan]]]), "viridis", panels.Normalize(0, 1))
    assert shown.shape == (1, 1, 2, 3)
    assert tuple(shown[0, 0, 1]) == MISSING
    row = beside(np.zeros((3, 2, 4, 3)), 1)
    assert row.shape == (2, 14, 3)
    assert row[:, 4].min() == 1.0


def curve(steps: int) -> pd.DataFrame:
    """A training's curve with a part that becomes negative."""
    step = np.arange(1, steps + 1)
    noise = np.random.default_rng(steps).uniform(0.9, 1.1, steps)
    parts = {"camera": noise / step, "depth": 0.3 * noise - step / steps, "point": noise}
    return pd.DataFrame({"step": step, "total": 3 * noise / np.sqrt(step), **parts})


def test_every_variant_is_read_on_its_own_steps():
    curves = {"MoR": curve(30), "VGG-T³": curve(900), "shallower VGGT (quarters 2)": curve(30)}
    with kept(training) as figures:
        training.finetuning(curves, NOWHERE)
    (figure,) = figures
    ends = [axis.get_xlim()[1] for axis in figure.axes]
    assert ends == [30, 900, 30]
    assert not covered(figure)
    assert not cut_off(figure)


def test_losses_are_shown_as_they_are():
    made = curve(400)
    with kept(training) as figures:
        training.training_curve(made, NOWHERE, "training")
    (figure,) = figures
    (axis,) = figure.axes
    last = axis.get_lines()[2].get_ydata()[-1]
    assert last == pytest.approx(made["point"].iloc[-20:].mean())
    names = [text.get_text() for text in axis.texts]
    assert names == ["camera", "depth", "point"]
    assert not covered(figure)
    assert not cut_off(figure)


def test_the_helper_sees_texts_that_cover_each_other():
    figure, (axis,) = grid(1, 1, ONE_COLUMN, 2.0)
    settle(figure)
    axis.text(0.5, 0.5, "one text")
    axis.text(0.52, 0.5, "another")
    axis.text(1.4, 0.5, "far out")
    figure.canvas.draw()
    assert ("one text", "another") in covered(figure)
    assert cut_off(figure) == ["far out"]
