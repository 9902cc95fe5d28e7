"""Several runs in one table, where rules and frames are the same."""

from __future__ import annotations

import pandas as pd
import pytest

from bench3r.api.errors import Bench3RError
from bench3r.exchange import bundle, merge
from bench3r.exchange.source import read_table


def test_runs_of_several_people_stand_in_one_table(finished, tmp_path):
    folder, plan = finished
    one = folder / "results" / "one"
    other = tmp_path / "theirs"
    bundle.export(plan, tmp_path / "ours.zip")
    other.mkdir()
    table = read_table(one).assign(device="another machine")
    table["value"] = table["value"].where(table["metric"] != "absrel", table["value"] + 0.2)
    table.to_parquet(other / "records.parquet")
    sources = merge.read_sources([tmp_path / "ours.zip", other])
    (merged,) = merge.write_merged(sources, tmp_path / "merged")
    assert list(merged.shown["source"]) == ["ours", "ours", "theirs", "theirs"]
    vggt = merged.raw[merged.raw["label"] == "VGGT"].set_index("source")["depth_median/absrel/mean"]
    assert vggt["theirs"] == pytest.approx(vggt["ours"] + 0.2)
    assert (
        merged.shown.set_index(["method", "source"])["device"]["VGGT", "theirs"]
        == "another machine"
    )
    assert "s" in merged.shown["Time (s)"].iloc[0] or "[" in merged.shown["Time (s)"].iloc[0]
    ratio = merged.shown.set_index(["method", "source"])["time / backbone"]
    assert ratio["VGGT", "ours"] == "1"
    assert list(merged.shown["Time (s)"].iloc[2:]) == ["–"] * 2  # theirs came without profiles
    assert set(ratio.iloc[2:]) == {"–"}
    kept = pd.read_parquet(tmp_path / "merged" / "records.parquet")
    assert kept.groupby("source").size().to_dict() == {"ours": len(table), "theirs": len(table)}
    with pytest.raises(Bench3RError, match="nothing is overwritten"):
        merge.write_merged(sources, tmp_path / "merged")


def test_other_rules_or_frames_are_not_merged(finished, tmp_path):
    folder, _ = finished
    table = read_table(folder / "results" / "one")
    for name, changed in (
        ("rules", table.assign(protocol_hash="x")),
        ("frames", table.assign(lists_sha256="x")),
    ):
        (tmp_path / name).mkdir()
        changed.to_parquet(tmp_path / name / "records.parquet")
    paths = [folder / "results" / "one", tmp_path / "rules", tmp_path / "frames"]
    with pytest.raises(Bench3RError, match="no two sources share"):
        merge.merge(merge.read_sources(paths))
    tables = merge.merge(merge.read_sources([paths[0], *paths]))
    assert [t.name for t in tables] == ["merged_1_scannet", "not_merged"]
    assert sorted(tables[1].shown["source"]) == ["frames", "rules"]
    assert set(tables[0].shown["source"]) == {"one", "one-2"}
    with pytest.raises(Bench3RError, match="at least two"):
        merge.read_sources(paths[:1])
