"""Evidence: typed settings and costs, and answers where records are missing."""

from __future__ import annotations

import math

import pandas as pd

from bench3r.report.evidence import CostRow, Setting
from bench3r.report.settings import settings_of, varied_options
from tests.helpers.evidence import cell, cost, evidence, rows

PLAIN = Setting("vggt", "VGGT", "plugin", "{}", "vggt")


def test_settings_are_named_and_hold_their_options():
    table = rows({"vggt": [0.1, 0.2], "oracle": [0.0, 0.0]})
    first, second = settings_of(table)
    assert (first.method, first.label) == ("vggt", "VGGT")
    assert (first.is_control, second.is_control) == (False, True)
    a = first._replace(options='{"depth": 2, "keep": 1}')
    b = first._replace(options='{"depth": 3, "keep": 1}')
    assert a.values == {"depth": 2, "keep": 1}
    assert varied_options([a, b]) == ["depth"]


def test_an_empty_run_has_columns_and_no_answers():
    e = evidence(rows({"vggt": [0.1]}))
    assert e.profile_of(PLAIN) is None
    assert e.measured() == []
    assert e.facts_of(PLAIN).empty
    assert e.with_depths().empty
    assert e.layers_of("vggt").empty
    assert math.isnan(e.mean_fact(PLAIN, "exit_layer"))
    assert math.isnan(e.flops_on_scenes(PLAIN, pd.Index([])))


def test_a_cost_is_found_by_setting_and_frame_count():
    lost = cost(PLAIN, status="oom", reason="too large")
    other = cost(PLAIN, frames=8, seconds=[8.0])
    e = evidence(rows({"vggt": [0.1]}), costs=[other, lost])
    assert e.cost_of(PLAIN).reason == "too large"
    assert e.profile_of(PLAIN) is None
    e = evidence(rows({"vggt": [0.1]}), costs=[other, cost(PLAIN, seconds=[1.0, 2.0, 9.0])])
    assert e.profile_of(PLAIN).median_seconds == 2.0
    assert e.profile_of(PLAIN._replace(options='{"a": 1}')) is None


def test_what_is_null_in_a_cost_record_was_not_measured():
    row = CostRow.model_validate({"method": "a", "flops": None, "seconds": None, "phase": 1})
    assert math.isnan(row.flops)
    assert math.isnan(row.median_seconds)
    assert math.isnan(row.peak_bytes)
    assert not row.ok
    assert CostRow(method="a", peak_rss_bytes=5.0).peak_bytes == 5.0


def test_an_option_table_needs_exactly_its_option_to_vary():
    def ablation(name: str, method: str, *options: str):
        return [cell(Setting(method, method, "plugin", o, "vggt"), name) for o in options]

    depth = ablation("depths", "spatial_mor", '{"max_depth": 2}', '{"max_depth": 3}')
    both = ablation(
        "both",
        "spatial_mor",
        '{"max_depth": 2, "caching": "a"}',
        '{"max_depth": 3, "caching": "b"}',
    )
    other = ablation("other", "mor", '{"max_depth": 2}', '{"max_depth": 3}')
    names = ("both", "other", "depths")
    e = evidence(rows({"vggt": [0.1]}), [*depth, *both, *other], ablations=names)
    assert {name: table.file for name, table in e.option_tables().items()} == {"depths": "table4"}
    assert e.ablations_over("spatial_mor", ["caching", "max_depth"]) == ["both"]


def test_ablations_get_the_unchanged_backbone_of_the_same_scenes():
    table = rows({"vggt": [0.1, 0.2], "fast": [0.3]})
    table.loc[table["method"].eq("vggt"), "kind"] = "backbone"
    main = cell(PLAIN, "main")
    fast = cell(PLAIN._replace(method="fast"), "speed")
    e = evidence(table, [main, fast], ablations=("speed",))
    found = e.rows_of("speed")
    assert found[["method", "scene"]].to_numpy().tolist() == [["vggt", "s0"], ["fast", "s0"]]
