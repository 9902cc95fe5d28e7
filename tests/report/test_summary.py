"""Numbers of tables: common scenes, counts, seeds, weights, missing results; nothing filled in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench3r.report.columns import column_of
from bench3r.report.comparison import comparison
from bench3r.report.evidence import CostRow
from bench3r.report.summary import (
    common_scenes,
    counts,
    keys_of,
    missing_costs,
    missing_results,
    ranks,
    wide,
)
from tests.helpers.evidence import COLUMN, evidence, rows


def compare(table: pd.DataFrame, column=COLUMN):
    return comparison(evidence(table), table, (column,), name="t", title="title")


def test_means_are_over_scenes_that_all_finished():
    table = rows({"vggt": [0.1, 0.2, 0.9], "fast": [0.2, 0.3, 0.0]}, {("fast", 2): "oom"})
    assert [s[-1] for s in common_scenes(table)] == ["s0", "s1"]
    raw = compare(table).raw.set_index("method")
    assert raw.loc["vggt", "depth_median/absrel/mean"] == pytest.approx(0.15)
    assert raw.loc["fast", "depth_median/absrel/mean"] == pytest.approx(0.25)
    assert raw.loc["fast", "depth_median/absrel/delta_vs_backbone"] == pytest.approx(0.1)
    assert list(compare(table).shown["n/N"]) == ["3/3", "2/3"]


def test_a_method_that_finished_nothing_does_not_empty_the_table():
    lost = {("dead", 0): "error", ("dead", 1): "timeout"}
    table = rows({"vggt": [0.1, 0.2], "dead": [0.0, 0.0]}, lost)
    shown = compare(table).shown.set_index("method")
    assert shown.loc["VGGT", COLUMN.title].startswith("0.150 [")
    assert shown.loc["DEAD", COLUMN.title] == "–"
    assert shown.loc["DEAD", "n/N"] == "0/2"
    missing = missing_results(table)
    assert sorted(missing["status"]) == ["error", "timeout"]
    assert set(missing["reason"]) == {"it broke"}


def test_a_missing_metric_stays_missing():
    table = rows({"vggt": [0.1, None], "fast": [0.2, 0.3]})
    assert np.isnan(wide(table, COLUMN).to_numpy()).sum() == 1
    assert compare(table).raw["depth_median/absrel/mean"].tolist() == pytest.approx([0.1, 0.25])
    assert list(missing_results(table)["status"]) == ["metric missing"]


def test_a_complete_run_has_no_missing_results():
    assert missing_results(rows({"vggt": [0.1, 0.2]})).empty
    assert missing_costs([]).empty
    lost = missing_costs([CostRow(method="vggt", label="VGGT", frames=8, reason="too slow")])
    assert lost["metric"].tolist() == ["cost of 8 frames"]


def test_the_better_way_decides_the_ranks():
    means = {"a": 1.0, "b": 3.0, "c": float("nan"), "d": 2.0}
    assert ranks(means, "higher") == ["b", "d", "a"]
    assert ranks(means, "lower") == ["a", "d", "b"]
    assert ranks(means, "") == []
    assert ranks({"a": 1.0}, "lower") == ["a"]


def test_seeds_repeat_a_scene_and_are_no_scenes_of_their_own():
    one = rows({"vggt": [0.1, 0.2, 0.6], "fast": [0.2, 0.2, 0.5]})
    several = pd.concat([one, one.assign(seed=1, value=one["value"] + 0.1)], ignore_index=True)
    a = compare(one).raw.set_index("method")
    b = compare(several).raw.set_index("method")
    for part in ("low", "high"):  # as wide as with one seed
        name = f"depth_median/absrel/{part}"
        np.testing.assert_allclose(b[name], a[name] + 0.05)


def test_a_protocol_may_weigh_scenes():
    column = column_of("depth_video/scale_absrel")
    table = rows({"vggt": [0.1, 0.4], "fast": [0.2, 0.2]}, column=column)
    pixels = table.assign(metric="valid", value=[300.0, 100.0, 300.0, 100.0])
    found = compare(pd.concat([table, pixels], ignore_index=True), column).raw
    means = [(3 * 0.1 + 0.4) / 4, 0.2]
    assert found["depth_video/scale_absrel/mean"].tolist() == pytest.approx(means)


def test_counts_and_keys():
    table = rows({"vggt": [0.1, 0.2]})
    assert counts(table, keys_of(table).iloc[0]) == (2, 2)
