"""Figures of planted runs: what is drawn apart, what times are, and that no text covers another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench3r.report.columns import column_of
from bench3r.report.evidence import Evidence, Setting
from bench3r.report.figures import growth as growth_figures
from bench3r.report.figures import pareto as pareto_figures
from bench3r.report.figures import quality as quality_figures
from bench3r.report.figures import ratios as ratio_figures
from bench3r.report.figures.pareto import TIME, front
from bench3r.report.growth import growths
from bench3r.report.sections.speed import savings_of
from tests.helpers.evidence import cell, cost, evidence, rows
from tests.helpers.figures import covered, cut_off, kept, texts_of

NOWHERE = Path("nowhere")
COLUMN = column_of("depth_median/absrel")
VGGT = Setting("vggt", "VGGT", "backbone", "{}", "vggt")
DUST3R = Setting("dust3r", "DUSt3R", "model", "{}", "dust3r")
SPARK3R = Setting("spark3r", "Spark3R", "plugin", "{}", "vggt")


def shallow(quarters: int) -> Setting:
    """One of the plainly shallower models."""
    return Setting("shallow", "shallower VGGT", "plugin", f'{{"quarters": {quarters}}}', "vggt")


SETTINGS = [VGGT, shallow(2), shallow(3), shallow(4), SPARK3R, DUST3R]


def table(levels: dict[Setting, float]) -> pd.DataFrame:
    """Scores of the settings on eight scenes around their level."""
    parts = []
    for setting, level in levels.items():
        own = rows({setting.method: [level * (1 + 0.02 * n) for n in range(8)]})
        fields = setting._asdict() | {"cell": setting.method + setting.options, "procedural": True}
        parts.append(own.assign(**fields))
    return pd.concat(parts, ignore_index=True)


def planted() -> Evidence:
    """Six settings; the time of a model that was measured alone looks the shortest."""
    levels = dict(zip(SETTINGS, (0.1, 0.3, 0.2, 0.12, 0.1, 0.11), strict=True))
    made = table(levels)
    cells = []
    for setting in SETTINGS:
        own = cell(setting)
        own.id = setting.method + setting.options
        cells.append(own)
    costs = [cost(VGGT, seconds=[1.0] * 8, flops=8e9), cost(DUST3R, seconds=[0.01] * 8)]
    for setting, share in zip(SETTINGS[1:5], (0.5, 0.7, 1.0, 1.25), strict=True):
        own = [10.0 * share * (1 + 0.01 * n) for n in range(8)]  # in a slow process
        costs.append(cost(setting, seconds=own, reference_seconds=[10.0] * 8, flops=4e9))
    facts = made.assign(flops=[1e9 * (1 + n % 3) for n in range(len(made))])
    return evidence(made, cells, costs, facts)


def words(figure: object) -> list[str]:
    """All texts of a figure, in one line each."""
    return [text.get_text().replace("\n", " ") for text in texts_of(figure)]


def test_variants_of_one_method_have_rows_of_their_own():
    e = planted()
    with kept(quality_figures) as figures:
        quality_figures.quality(e.rows_of("main"), (COLUMN,), NOWHERE)
    (figure,) = figures
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[1:4] == [f"shallower VGGT (quarters {n})" for n in (2, 3, 4)]
    means = []
    for points in figure.axes[0].collections:
        if points.get_zorder() == 5:
            means += points.get_offsets()[:, 0].tolist()
    expected = [level * 1.07 for level in (0.1, 0.1, 0.11, 0.12, 0.2, 0.3)]
    assert sorted(means) == pytest.approx(sorted(expected))
    assert not covered(figure)
    assert not cut_off(figure)


def test_times_are_paired_ratios_and_what_has_none_is_named():
    with kept(pareto_figures) as figures:
        pareto_figures.pareto(planted(), TIME, (COLUMN, COLUMN), NOWHERE)
    (figure,) = figures
    drawn = []
    for points in figure.axes[0].collections:
        if points.get_zorder() == 3:
            drawn += points.get_offsets()[:, 0].tolist()
    middle = 1.035  # of calls that take one percent longer each time
    assert sorted(drawn) == pytest.approx(sorted([1.0, *(s * middle for s in (0.5, 0.7, 1, 1.25))]))
    texts = words(figure)
    assert any("not shown: DUSt3R" in text for text in texts)
    assert "DUSt3R" not in texts
    assert not covered(figure)
    assert not cut_off(figure)


def test_settings_of_one_method_are_joined_and_named_once():
    with kept(pareto_figures) as figures:
        pareto_figures.pareto(planted(), TIME, (COLUMN,), NOWHERE)
    axis = figures[0].axes[0] if figures[0].axes else None
    assert axis is not None
    texts = [text.get_text().replace("\n", " ") for text in axis.texts]
    assert sorted(text for text in texts if "quarters" in text) == [
        "quarters 2",
        "quarters 3",
        "shallower VGGT (quarters 4)",
    ]
    assert max(len(line.get_xdata()) for line in axis.get_lines() if line.get_alpha()) == 3


def test_a_figure_of_fewer_than_two_costs_is_not_drawn():
    e = planted()
    e.costs = e.costs[:2]
    assert pareto_figures.pareto(e, TIME, (COLUMN,), NOWHERE) is None


def test_the_front_is_what_nothing_beats_in_both():
    points = [(1.0, 5.0), (2.0, 3.0), (2.5, 4.0), (3.0, 3.0), (4.0, 1.0)]
    assert front(points, "lower") == [(1.0, 5.0), (2.0, 3.0), (4.0, 1.0)]
    assert front(points, "higher") == [(1.0, 5.0)]


def test_ratios_of_time_stand_beside_those_of_flops():
    savings = savings_of(planted())
    assert [one.name for one in savings][-1] == "Spark3R"
    assert {one.method for one in savings} == {"shallow", "spark3r"}  # no backbone, no whole model
    assert all(one.flops == 0.5 for one in savings)
    with kept(ratio_figures) as figures:
        ratio_figures.time_ratios(savings, NOWHERE)
    (figure,) = figures
    names = [label.get_text().replace("\n", " ") for label in figure.axes[0].get_yticklabels()]
    assert names[0] == "shallower VGGT (quarters 2)"  # the fastest on top
    assert not covered(figure)
    assert not cut_off(figure)


def over_frames(paired: bool) -> list[object]:
    """Costs of a backbone and two methods at four counts; one pays from 16 frames on."""
    costs = []
    for frames in (4, 8, 16, 32):
        base = float(frames)
        costs.append(cost(VGGT, frames=frames, seconds=[base] * 8, flops=1e9 * frames))
        for name, share in (("fastvggt", 16 / frames), ("avggt", 0.5)):
            setting = Setting(name, name, "plugin", "{}", "vggt")
            reference = [3 * base * (1 + 0.01 * n) for n in range(8)]
            seconds = [share * value for value in reference]
            values = {"seconds": seconds, "flops": 1e9 * frames, "peak_rss_bytes": 1e8 * frames}
            values |= {"reference_seconds": reference} if paired else {}
            costs.append(cost(setting, frames=frames, **values))
    return costs


def test_speed_up_over_frames_is_of_calls_taken_in_turn():
    with kept(growth_figures) as figures:
        growth_figures.speed_up(growths(over_frames(paired=True)), NOWHERE)
    (figure,) = figures
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 4]
    drawn = {tuple(np.round(line.get_ydata(), 6)) for line in lines}
    assert drawn == {(0.25, 0.5, 1.0, 2.0), (2.0, 2.0, 2.0, 2.0)}
    assert {"fastvggt", "avggt", "frames"} <= set(words(figure))
    assert not covered(figure)
    assert not cut_off(figure)


def test_without_pairs_there_is_no_speed_up():
    assert growth_figures.speed_up(growths(over_frames(paired=False)), NOWHERE) is None


def test_cost_over_frames_compares_no_seconds():
    with kept(growth_figures) as figures:
        growth_figures.growth(growths(over_frames(paired=True)), NOWHERE)
    (figure,) = figures
    titles = [axis.get_ylabel() for axis in figure.axes]
    assert titles == ["peak memory (GB)", "FLOPs (G)"]
    assert not covered(figure)
