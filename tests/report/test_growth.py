"""Cost over frames: exponents, crossovers, and what times are compared with."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bench3r.measure.pairs import Ratio
from bench3r.report.costs import CostRow
from bench3r.report.growth import (
    TIME,
    Crossover,
    crossover,
    crossover_text,
    exponent,
    growths,
    paired_crossover,
    ratio_exponent,
)
from bench3r.report.sections.scaling import scaling_table
from tests.helpers.evidence import evidence
from tests.helpers.evidence import rows as rows_of


def test_crossovers_and_exponents():
    frames = np.array([2.0, 4, 8, 16, 32])
    assert exponent(frames, 3 * frames**1.5) == pytest.approx(1.5)
    linear = 10 * frames
    quadratic = frames**2
    assert crossover(frames, linear, quadratic) == pytest.approx(10)
    assert crossover(frames, quadratic, linear) == np.inf
    assert crossover(frames, linear, 2 * linear) == 2
    assert np.isnan(crossover(frames, linear, np.full(5, np.nan)))


def test_the_last_change_of_sign_counts():
    frames = np.array([2.0, 4, 8, 16, 32])
    dips = np.array([1.0, 30, 90, 150, 300])  # cheaper, more expensive, cheaper in the end
    assert 4 < crossover(frames, dips, np.array([2.0, 20, 80, 160, 320])) < 16


def test_crossovers_in_words():
    def text(*ends: float) -> str:
        return crossover_text(Crossover(*(ends * 3)[:3]), 2)

    assert [text(v) for v in (np.nan, np.inf, 2.0, 9.7)] == [
        "–",
        "not measured to",
        "all, from 2",
        "about 10",
    ]
    assert text(9.7, 4.2, np.inf) == "about 10 [4, not measured to]"


def ratios(*values: float, wide: float = 1.1) -> list[Ratio | None]:
    """Paired ratios with an interval that is ``wide`` to both sides."""
    return [Ratio(value, value / wide, value * wide, 10) for value in values]


def test_where_a_method_begins_to_pay_has_an_interval():
    frames = np.array([2.0, 4, 8, 16, 32])
    found = paired_crossover(frames, ratios(1.4, 1.2, 1.05, 0.95, 0.7))
    assert 8 < found.value < 16
    assert 4 < found.low < found.value < found.high < 32
    assert found.pays
    unsure = paired_crossover(frames, ratios(1.4, 1.2, 1.1, 1.05, 0.95))
    assert 16 < unsure.value < 32
    assert unsure.high == np.inf
    assert not unsure.pays  # its interval at the largest count includes the same time


def test_ratios_without_an_interval_bound_no_crossover():
    frames = np.array([2.0, 4, 8])
    single: list[Ratio | None] = [Ratio(v, np.nan, np.nan, 1) for v in (1.2, 0.9, 0.8)]
    found = paired_crossover(frames, single)
    assert (found.low, found.high) == (2, np.inf)
    assert np.isnan(paired_crossover(frames, [None, None, None]).value)


def test_the_exponent_of_a_ratio_has_the_interval_of_its_pairs():
    frames = np.array([2.0, 4, 8, 16])
    values = ratios(1.0, 0.5, 0.25, 0.125, wide=1.2)
    found = ratio_exponent(frames, values)
    assert found.value == pytest.approx(-1)
    assert found.low < -1.2 < -0.8 < found.high
    exact = ratio_exponent(frames, ratios(1.0, 0.5, 0.25, 0.125, wide=1.0))
    assert (exact.low, exact.high) == pytest.approx((-1, -1))
    assert np.isnan(ratio_exponent(frames, [None] * 4).value)


def costs(method: str, label: str, seconds: float, in_turn: float | None = None) -> list[CostRow]:
    """A method whose cost grows linearly with 2, 4 and 8 frames."""
    rows = []
    for frames in (2, 4, 8):
        rows.append(
            CostRow(
                method=method,
                label=label,
                backbone=method if method == "dust3r" else "vggt",
                frames=frames,
                status="ok",
                seconds=[seconds * frames] * 3,
                flops=1e9 * frames,
                peak_rss_bytes=1e9,
                reference_seconds=[] if in_turn is None else [in_turn * frames] * 3,
            )
        )
    return rows


def test_times_are_compared_with_calls_taken_in_turn_alone():
    """A backbone that was slow when it was measured alone must not make a method look fast."""
    rows = costs("vggt", "VGGT", 4.0) + costs("fast", "fast", 1.0, in_turn=0.5)
    alone = costs("apart", "apart", 1.0)
    plain, fast, pairs, apart = growths(rows + costs("dust3r", "DUSt3R", 3.0) + alone)
    assert (plain.name, fast.name, pairs.name) == ("VGGT", "fast, VGGT", "DUSt3R")
    assert np.isnan(plain.crossovers[TIME].value)
    assert plain.is_unchanged
    assert fast.crossovers[TIME].value == np.inf  # twice the backbone's time, measured beside it
    assert [ratio.value for ratio in fast.ratios if ratio] == [2, 2, 2]
    for other in (pairs, apart):  # seconds of other processes say nothing, however small
        assert np.isnan(other.crossovers[TIME].value)
        assert other.ratios == [None] * 3
    assert pairs.crossovers["FLOPs (G)"].value == np.inf
    assert fast.exponents == pytest.approx({TIME: 1, "peak memory (GB)": 0, "FLOPs (G)": 1})


def test_the_table_over_frames_shows_ratios_and_where_they_cross():
    found = evidence(rows_of({"vggt": [0.1]}), costs=costs("fast", "fast", 1.0, in_turn=2.0))
    (table,) = scaling_table(SimpleNamespace(by_frames=[found], first=found))
    shown = table.shown.iloc[0]
    assert shown["time / backbone at 8"] == "0.500 [0.500, 0.500]"
    assert shown["less time from (frames)"] == "all, from 2"
    assert shown["exponent of time / backbone"] == "0.00 [0.00, 0.00]"
    assert table.raw.loc[0, "less time from, high"] == 2
