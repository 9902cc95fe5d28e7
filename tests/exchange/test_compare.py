"""Comparing two runs: what changed, and what can not be compared."""

from __future__ import annotations

import pandas as pd
import pytest

from bench3r.api.errors import Bench3RError
from bench3r.exchange.compare import compare, metric_known
from bench3r.exchange.source import read_table
from bench3r.protocols import PROTOCOLS
from bench3r.report.columns import column_of
from tests.helpers.evidence import rows


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
        ("regions", "roughness_simple", ""),
        ("depth_video", "valid", ""),
        ("depth_median", "of another version", ""),
        ("of somebody else", "absrel", ""),
    ],
)
def test_which_way_is_better_is_what_the_protocol_declares(protocol, metric, better):
    found = metric_known(protocol, metric)
    assert (found.better if found else "") == better


def test_a_score_that_has_a_direction_gets_better_or_worse(finished):
    folder, _ = finished
    table = read_table(folder / "results" / "one")
    more = table.assign(value=table["value"] + 1)
    verdicts = compare(table, more, ("a", "b")).raw
    changed = verdicts[verdicts["verdict"] != "not told apart"]
    assert len(changed) > 10
    for row in changed.itertuples():
        better = PROTOCOLS.get(row.protocol).metric(row.metric).better
        expected = {"lower": "worse", "higher": "better", "": "differs"}[better]
        assert row.verdict == expected, (row.protocol, row.metric)


def test_a_change_over_few_scenes_is_shown_and_not_called_one(finished):
    folder, _ = finished
    table = read_table(folder / "results" / "one")
    few = table[table["scene"].isin(sorted(table["scene"].unique())[:3])]
    found = compare(few, few.assign(value=few["value"] + 1), ("a", "b"))
    assert set(found.raw["verdict"]) == {"too few scenes"}
    assert len(found.shown) == len(found.raw)
    assert "Student's t" in " ".join(found.notes)
    assert set(found.shown["n"]) == {3}


def test_changes_within_rounding_are_none(finished):
    folder, _ = finished
    table = read_table(folder / "results" / "one")
    almost = table.assign(value=table["value"] * (1 + 1e-7))
    verdicts = set(compare(table, almost, ("a", "b")).raw["verdict"])
    assert verdicts <= {"same", "within rounding"}
    assert "within rounding" in verdicts


def test_changes_of_chance_are_corrected_for_all_settings_of_a_metric(rng):
    """Of 100 settings that chance alone moves, 5 would be called better or worse uncorrected."""
    one = rows({"vggt": rng.normal(1, 0.1, 9).tolist()}).assign(
        scale="tiny", device="cpu", git="x", protocol_hash="p", lists_sha256="l"
    )
    many = pd.concat([one.assign(label=f"setting {i}") for i in range(100)], ignore_index=True)
    moved = many.assign(value=many["value"] + 0.1 * rng.normal(size=len(many)))
    raw = compare(many, moved, ("a", "b")).raw
    assert set(raw["verdict"]) == {"not told apart"}
    assert (raw["low"].gt(0) | raw["high"].lt(0)).sum() >= 2


def test_seeds_of_a_scene_are_averaged_and_scenes_weighed(rng):
    column = column_of("depth_video/scale_absrel")
    facts = {"scale": "tiny", "device": "cpu", "git": "x", "protocol_hash": "p"}
    one = rows({"vggt": [0.1, 0.4]}, column=column).assign(**facts, lists_sha256="l")
    pixels = one.assign(metric="valid", value=[300.0, 100.0])
    seeds = pd.concat([one, one.assign(seed=1, value=one["value"] + 0.2), pixels])
    raw = compare(seeds, seeds.assign(value=seeds["value"] * 2), ("a", "b")).raw
    found = raw.set_index("metric").loc["scale_absrel"]
    assert found["scenes"] == 2
    assert found["first"] == pytest.approx((3 * 0.2 + 0.5) / 4)
