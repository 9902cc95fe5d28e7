"""Costs in reports: paired ratios, what cannot be paired, memory, and what was not measured."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from bench3r.report.cost_columns import add_costs, fp8_note, memory_note, memory_text
from bench3r.report.costs import NOT_COUNTED, CostRow
from bench3r.report.evidence import Setting
from bench3r.report.sections.roofline import roofline_tables
from bench3r.report.sections.savings import HEADS, savings_table
from bench3r.report.settings import SETTING
from bench3r.report.tables import Table
from bench3r.report.time_columns import ratio_note, ratio_text, saved_text, time_cell
from tests.helpers.evidence import cell, cost, evidence, rows

DENSE = Setting("vggt", "VGGT", "backbone", "{}", "vggt")
FAST = Setting("fast", "Fast", "plugin", "{}", "vggt")
MOR = Setting("mor", "MoR", "plugin", "{}", "vggt")
PAIRS = Setting("dust3r", "DUSt3R", "model", "{}", "dust3r")
SCENE = {"dataset": "d", "frames": 4, "seed": 0, "scene": "s0"}
MOMENTS = [1.0, 1.2, 1.1, 1.3, 1.0, 1.2, 1.1, 1.3, 1.0, 1.2]  # how slow the machine was, per pair


def paired(saved: float, apart: float = 1.0, **values: object) -> CostRow:
    """A method that saves the share ``saved`` of time, measured when all took ``apart`` times."""
    own = [(1 - saved) * apart * moment for moment in MOMENTS]
    return cost(FAST, seconds=own, reference_seconds=[apart * m for m in MOMENTS], **values)


def test_a_ratio_does_not_depend_on_when_its_process_ran():
    """The backbone's own process met a machine twice as fast: the method still saves 3 %."""
    dense = cost(DENSE, seconds=[0.5] * 10)
    e = evidence(rows({"vggt": [0.1]}), costs=[dense, paired(0.03)])
    found = e.time_ratio(FAST)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.97, 0.97, 0.97))
    assert found.n == 10
    assert e.time_ratio(DENSE).value == 1  # type: ignore[union-attr]
    assert e.why_unpaired(FAST) == ""


def test_what_cannot_be_paired_says_why():
    alone = cost(PAIRS, seconds=[9.0] * 3)
    too_large = cost(FAST, seconds=[1.0] * 3, missing={"reference_seconds": "out of memory"})
    lost = cost(DENSE, status="oom", reason="40 GB")
    e = evidence(rows({"vggt": [0.1]}), costs=[alone, too_large, lost])
    for setting in (PAIRS, FAST, DENSE, FAST._replace(options='{"a": 1}')):
        assert e.time_ratio(setting) is None
    assert e.why_unpaired(PAIRS) == "a whole model: VGGT was not timed in turn with it"
    assert e.why_unpaired(FAST) == "VGGT: out of memory"
    assert e.why_unpaired(DENSE) == "oom: 40 GB"
    assert e.why_unpaired(FAST._replace(options='{"a": 1}')) == "no cost of it was asked for"
    note = ratio_note(e)
    assert "No ratio: DUSt3R (a whole model: VGGT was not timed in turn with it)." in note
    assert "Fast (VGGT: out of memory)" in note


def test_a_spread_of_sixty_percent_marks_seconds_and_ratio():
    seconds = [1.0] * 9 + [1.6]
    row = cost(FAST, seconds=seconds, reference_seconds=[1.0] * 10)
    cell = time_cell(row)
    assert cell.seconds.endswith("(suspect)")
    assert cell.ratio.endswith("(suspect)")
    assert "calls differ by 60% of their median" in str(cell.numbers["time_suspect"])
    assert "(suspect)" in ratio_note(evidence(rows({"vggt": [0.1]}), costs=[row]))
    calm = time_cell(paired(0.03))
    assert "suspect" not in calm.seconds + calm.ratio
    recorded = paired(0.03, suspect=["2 other processes used the GPU"])
    assert "other processes" in recorded.ratio.suspect  # type: ignore[union-attr]


def test_ratios_and_savings_as_shown():
    row = cost(FAST, seconds=[0.9, 0.92, 0.94, 0.96, 0.98, 1.0], reference_seconds=[1.0] * 6)
    assert ratio_text(row.ratio) == "0.950 [0.900, 1.000]"
    assert saved_text(row.ratio) == "5.0 [0.0, 10.0]"
    dense = cost(DENSE, seconds=[1.0, 1.1])
    assert (ratio_text(dense.ratio), saved_text(dense.ratio)) == ("1", "0")
    assert ratio_text(None) == "–"


def test_memory_is_the_raw_peak_and_what_is_above_the_baseline():
    """323 MB of 349 are libraries, weights and images: both numbers are said."""
    row = cost(FAST, peak_rss_bytes=349e6, baseline_rss_bytes=323e6)
    assert row.peak_bytes == 349e6
    assert row.above_baseline_bytes == 26e6
    assert memory_text(row) == "349 (26)"
    assert "resident set" in memory_note([row])
    gpu = cost(FAST, peak_rss_bytes=9e9, peak_gpu_bytes=8e9, baseline_gpu_bytes=5e9)
    assert memory_text(gpu) == "8000 (3000)"
    assert "tensors on the GPU" in memory_note([gpu])
    assert memory_text(cost(FAST, peak_rss_bytes=349e6)) == "349"
    assert math.isnan(cost(FAST).above_baseline_bytes)


def test_a_value_that_a_measured_cost_lacks_has_a_reason():
    row = cost(FAST, seconds=[1.0], peak_rss_bytes=1e6)
    assert [(lack.what, lack.reason) for lack in row.lacks] == [("FLOPs", NOT_COUNTED)]
    said = cost(FAST, missing={"flops": "it has no network", "seconds": "a", "memory": "b"})
    assert [lack.reason for lack in said.lacks] == ["a", "it has no network", "b"]
    assert cost(FAST, seconds=[1.0], flops=1.0, peak_rss_bytes=1.0).lacks == []
    assert cost(FAST, status="oom").lacks == []


def test_flops_of_scenes_and_of_the_profile_are_told_apart():
    facts = pd.DataFrame([{**FAST._asdict(), **SCENE, "flops": 5e9}])
    e = evidence(rows({"vggt": [0.1]}), costs=[paired(0.03, flops=4e9)], facts=facts)
    assert e.flops_on_scenes(FAST) == 5e9
    assert e.flops_at_profile(FAST) == 4e9
    assert math.isnan(e.flops_at_profile(DENSE))


def test_the_columns_of_a_comparison():
    settings = [DENSE, FAST]
    dense = cost(DENSE, seconds=[0.5] * 10, peak_rss_bytes=3e8, baseline_rss_bytes=2e8)
    e = evidence(rows({"vggt": [0.1]}), costs=[dense, paired(0.25, peak_rss_bytes=3e8)])
    shown = pd.DataFrame({"method": ["VGGT", "Fast"]})
    table = Table("t", "t", "c", shown, pd.DataFrame(settings, columns=SETTING))
    add_costs(e, table, settings, pd.Index([]))
    assert list(table.shown["time / backbone"]) == ["1", "0.750 [0.750, 0.750]"]
    assert list(table.shown["peak memory (MB)"]) == ["300 (100)", "300"]
    assert list(table.raw["time_pairs"]) == [10, 10]
    assert table.raw.loc[1, "time_s"] == pytest.approx(0.75 * 1.15)
    assert any("calls taken in turn" in note for note in table.notes)


def test_a_value_names_the_record_that_it_comes_from():
    row = paired(0.03, cell="fast.vggt.tiny.f4.default")
    e = evidence(rows({"vggt": [0.1]}), costs=[row])
    assert e.record_of(row).as_posix().endswith("made-up/profile/fast.vggt.tiny.f4.default.json")


def test_fp8_that_is_slower_than_the_same_method_without_it_is_said_to_be():
    quick = FAST._replace(options='{"variant": "quick"}')
    slow = FAST._replace(options='{"variant": "slow"}')
    costs = [
        cost(quick, seconds=[0.8 * m for m in MOMENTS], without_fp8_seconds=MOMENTS),
        cost(slow, seconds=[1.3 * m for m in MOMENTS], without_fp8_seconds=MOMENTS),
        paired(0.1),
    ]
    (note,) = fp8_note(costs)
    assert "Fast (variant quick) on VGGT 0.800 [0.800, 0.800];" in note
    assert note.endswith("Fast (variant slow) on VGGT 1.300 [1.300, 1.300] (FP8 is slower).")
    assert fp8_note([paired(0.1)]) == []


def test_what_flops_predict_is_set_against_the_paired_ratio():
    """The backbone's own process met a machine half as fast, which is no saving of the method."""
    ceiling = {"flops": 1e11}
    dense = cost(DENSE, seconds=[2.0] * 10, flops=4e9, ceiling=ceiling)
    pairs = cost(PAIRS, seconds=[9.0] * 3, flops=12e9, ceiling=ceiling)
    fast = paired(0.1, flops=2e9, ceiling=ceiling)
    (table,) = roofline_tables(evidence(rows({"vggt": [0.1]}), costs=[dense, fast, pairs]))
    raw = table.raw.set_index("method")
    assert raw.loc["fast", "flops_ratio"] == 0.5
    assert raw.loc["fast", "error"] == pytest.approx(0.5 / 0.9 - 1)
    assert raw.loc["vggt", "error"] == 0
    assert raw.loc["dust3r", "flops_ratio"] == 3
    shown = table.shown.set_index("method")
    assert list(shown.loc["DUSt3R", ["time / backbone", "error of the estimate"]]) == ["–", "–"]


def test_adaptive_depth_saves_the_paired_share_of_time():
    facts = pd.DataFrame([{**MOR._asdict(), **SCENE, **dict.fromkeys(HEADS, 0.5)}])
    row = cost(MOR, seconds=[0.9 * m for m in MOMENTS], reference_seconds=MOMENTS)
    dense = cost(DENSE, seconds=[0.5] * 10)
    table = rows({"mor": [0.1]})
    e = evidence(table, [cell(MOR)], costs=[dense, row], facts=facts)
    (found,) = savings_table(e)
    assert found.shown.loc[0, "time saved (%)"] == "10.0 [10.0, 10.0]"
    assert found.raw.loc[0, "time_ratio"] == pytest.approx(0.9)
    assert "10 pairs each" in found.notes[0]
