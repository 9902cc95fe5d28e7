"""Cost over frames: exponents, crossovers, and what times are compared with."""

from __future__ import annotations

import numpy as np
import pytest

from bench3r.report.evidence import CostRow
from bench3r.report.growth import crossover, crossover_text, exponent, growths


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
    texts = [crossover_text(value, 2) for value in (np.nan, np.inf, 2.0, 9.7)]
    assert texts == ["–", "not measured to", "all, from 2", "about 10"]


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


def test_times_are_compared_with_calls_taken_in_turn():
    """A backbone that was slow when it was measured alone must not make a method look fast."""
    rows = costs("vggt", "VGGT", 4.0) + costs("fast", "fast", 1.0, in_turn=0.5)
    plain, fast, pairs = growths(rows + costs("dust3r", "DUSt3R", 9.0))
    assert (plain.name, fast.name, pairs.name) == ("VGGT", "fast, VGGT", "DUSt3R")
    assert np.isnan(plain.crossovers["time (s)"])
    assert fast.crossovers["time (s)"] == np.inf  # twice the backbone's time, measured beside it
    assert pairs.crossovers["time (s)"] == np.inf
    assert fast.exponents == pytest.approx({"time (s)": 1, "peak memory (GB)": 0, "FLOPs (G)": 1})
