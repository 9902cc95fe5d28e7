"""Comparing two runs: what changed, and what can not be compared."""

from __future__ import annotations

import pytest

from bench3r.api.errors import Bench3RError
from bench3r.exchange.compare import better_of, compare
from bench3r.exchange.source import read_table
from bench3r.protocols import PROTOCOLS


def test_a_run_equals_itself_and_changes_are_found(finished):
    folder, _ = finished
    table = read_table(folder / "results" / "one")
    assert set(compare(table, table, ("a", "b")).raw["verdict"]) == {"same"}
    worse = table.assign(
        value=table["value"].where(table["metric"] != "absrel", table["value"] * 2 + 0.1)
    )
    found = compare(table, worse, ("a", "b"))
    changed = found.raw[found.raw["verdict"] != "same"]
    assert set(changed["metric"]) == {"absrel"}
    assert set(changed["verdict"]) == {"worse"}
    assert len(found.shown) == len(changed) == 2
    back = compare(worse, table, ("b", "a")).raw
    assert set(back[back["metric"] == "absrel"]["verdict"]) == {"better"}


def test_other_rules_and_other_frames_are_never_mixed(finished):
    folder, _ = finished
    table = read_table(folder / "results" / "one")
    other = table.assign(
        protocol_hash=table["protocol_hash"].where(table["protocol"] != "depth_median", "another")
    )
    found = compare(table, other, ("a", "b"))
    assert set(found.raw["protocol"]) == {"relpose_pi3"}
    assert "other scoring rules" in " ".join(found.notes)
    with pytest.raises(Bench3RError, match="cannot be compared: other frames"):
        compare(table, table.assign(lists_sha256="x"), ("a", "b"))
    with pytest.raises(Bench3RError, match="share no setting"):
        compare(table, table.assign(scale="full"), ("a", "b"))


@pytest.mark.parametrize(
    ("protocol", "metric", "better"),
    [
        ("pi3_pointmap", "chamfer_norm", "lower"),
        ("pi3_pointmap", "acc_mean", "lower"),
        ("relpose_pi3", "rot_deg", "lower"),
        ("depth_video", "scale_absrel", "lower"),
        ("trajectory_evo", "ate", "lower"),
        ("relpose_pi3", "auc30", "higher"),
        ("relpose_pi3", "rra15", "higher"),
        ("depth_median", "delta1", "higher"),
        ("depth_video", "scaleshift_delta1", "higher"),
        ("pi3_pointmap", "nc_mean", "higher"),
        ("scannet50_sim3", "fscore_5cm", "higher"),
        ("localisation", "within_15", "higher"),
        ("regions", "detail_complex", "higher"),
        ("regions", "border_error", "lower"),
        ("regions", "roughness_simple", "lower"),
        ("depth_video", "valid", ""),
        ("depth_median", "of another version", ""),
        ("of somebody else", "absrel", ""),
    ],
)
def test_which_way_is_better_is_what_the_protocol_declares(protocol, metric, better):
    assert better_of(protocol, metric) == better


def test_a_score_that_has_a_direction_gets_better_or_worse(finished):
    folder, _ = finished
    table = read_table(folder / "results" / "one")
    more = table.assign(value=table["value"] + 1)
    verdicts = compare(table, more, ("a", "b")).raw
    changed = verdicts[verdicts["verdict"] != "within noise"]
    assert len(changed) > 10
    for row in changed.itertuples():
        better = PROTOCOLS.get(row.protocol).metric(row.metric).better
        expected = {"lower": "worse", "higher": "better", "": "differs"}[better]
        assert row.verdict == expected, (row.protocol, row.metric)
