"""The table of plain baselines, and the notes that name what savings are over."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from bench3r.report.cost_columns import cost_notes
from bench3r.report.evidence import Setting
from bench3r.report.sections.ladder import ladder_tables
from tests.helpers.evidence import cost, evidence, rows

DENSE = Setting("vggt", "VGGT", "backbone", "{}", "vggt")
RUNGS = [
    {
        "rung": "fp32",
        "seconds": [4.0, 4.2, 4.1],
        "run_seconds": [2.0, 2.1, 2.05],
        "weight_bytes": 5_000_000_000,
        "attention": {"memory-efficient": 72},
    },
    {"rung": "autocast_bf16", "seconds": [2.0, 2.0], "run_seconds": [2.0, 2.0]},
    {
        "rung": "bf16_weights",
        "seconds": [1.0, 1.0, 1.0],
        "run_seconds": [2.0, 2.2, 1.8],
        "peak_gpu_bytes": 9_000_000_000,
        "first_seconds": 3.5,
        "attention": {"flash": 72},
    },
    {"rung": "fp32_tf32", "status": "unsupported", "reason": "V100 has no TF32"},
]


def run_of(*costs):
    """A run whose collected costs are these."""
    made_up = evidence(rows({"vggt": [1.0]}), costs=list(costs))
    return SimpleNamespace(first=made_up), made_up


def test_every_rung_has_a_row_and_the_runs_own_is_marked():
    run, e = run_of(cost(DENSE, seconds=[2.0], rung="autocast_bf16", ladder=RUNGS))
    (table,) = ladder_tables(run)
    shown = table.shown.set_index("runs in")
    assert list(shown.index) == ["fp32", "autocast bf16 *", "bf16 weights", "fp32 + TF32"]
    assert shown.loc["fp32", "times as fast"] == "0.500 [0.500, 0.500]"
    assert shown.loc["autocast bf16 *", "times as fast"] == "1.000 [1.000, 1.000]"
    assert shown.loc["bf16 weights", "times as fast"] == "2.00 [1.55, 2.56]"
    assert shown.loc["bf16 weights", "memory (GB)"] == "9"
    assert shown.loc["bf16 weights", "attention"] == "flash"
    assert shown.loc["fp32 + TF32", "status"] == "unsupported: V100 has no TF32"
    raw = table.raw.set_index("rung")
    assert raw.loc["bf16_weights", "speed_up"] == pytest.approx(2.0)
    assert raw.loc["bf16_weights", "over"] == "autocast_bf16"
    assert pd.isna(raw.loc["fp32_tf32", "speed_up"])
    assert "over the unchanged backbone in autocast bf16" in cost_notes(e)[0]


def test_a_run_without_a_ladder_has_no_table():
    run, e = run_of(cost(DENSE, seconds=[2.0], rung="fp32"))
    assert list(ladder_tables(run)) == []
    assert e.baseline() == "fp32"


def test_on_a_cpu_there_is_no_column_of_its_memory():
    run, _ = run_of(cost(DENSE, seconds=[2.0], rung="fp32", ladder=RUNGS[:1]))
    (table,) = ladder_tables(run)
    assert "memory (GB)" not in table.shown
    assert table.raw.loc[0, "peak_gpu_bytes"] is None
