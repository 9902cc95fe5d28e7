"""Comparing two runs, and bundles of them."""

from __future__ import annotations

import json
import shutil
import zipfile

import pandas as pd
import pytest
from typer.testing import CliRunner

from bench3r import cli
from bench3r.api.errors import Bench3RError
from bench3r.exchange import bundle, merge
from bench3r.exchange.compare import compare, lower_is_better, read_records
from bench3r.files import read_jsonl
from bench3r.run.config import parse_config
from bench3r.run.plan import make_plan
from tests.helpers.in_process import run_all

CONFIG = {
    "name": "one",
    "methods": {"vggt": {}, "oracle": {}},
    "frames": [3],
    "protocols": ["depth_median", "relpose_pi3"],
    "datasets": {"scannet": {"root": "procedural", "scenes": 3, "views": 3}},
    "profile": {"frames": [3], "warmup": 1, "repeats": 1, "scenes": 1},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run: its folder and plan."""
    patch, folder = pytest.MonkeyPatch(), tmp_path_factory.mktemp("compare")
    patch.chdir(folder)
    plan = make_plan(parse_config(CONFIG, "one.yaml"))
    run_all(plan)
    yield folder, plan
    patch.undo()


def test_a_run_equals_itself_and_changes_are_found(finished):
    folder, _ = finished
    table = read_records(folder / "results" / "one")
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


def test_a_run_on_gpus_is_scored_without_one(finished, tmp_path):
    """Scoring runs on CPU nodes: it asks for no GPU, whatever the run's device."""
    folder, plan = finished
    changed = plan.model_dump(mode="json")
    changed["config"]["device"] = "cuda"
    (tmp_path / "plan.json").write_text(json.dumps(changed))
    cell = next(c.id for c in plan.cells if c.method == "vggt")
    asked = [
        "score",
        cell,
        "--plan",
        str(tmp_path / "plan.json"),
        "--out",
        str(tmp_path / "scores.jsonl"),
        "--threads",
        "2",
    ]
    done = CliRunner().invoke(cli.app, asked)
    assert done.exit_code == 0, done.output
    ours, theirs = (
        read_jsonl(p)
        for p in (tmp_path / "scores.jsonl", folder / f"results/one/score/{cell}.jsonl")
    )
    assert [r["metrics"] for r in ours] == [r["metrics"] for r in theirs]


def test_runs_of_several_people_stand_in_one_table(finished, tmp_path):
    folder, plan = finished
    one, other = folder / "results" / "one", tmp_path / "theirs"
    bundle.export(plan, tmp_path / "ours.zip")
    other.mkdir()
    table = read_records(one).assign(device="another machine")
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
    assert merged.shown["Time (s)"].iloc[2] == "–"  # theirs came without profiles
    kept = pd.read_parquet(tmp_path / "merged" / "records.parquet")
    assert kept.groupby("source").size().to_dict() == {"ours": len(table), "theirs": len(table)}
    with pytest.raises(Bench3RError, match="nothing is overwritten"):
        merge.write_merged(sources, tmp_path / "merged")


def test_other_rules_or_frames_are_not_merged(finished, tmp_path):
    folder, _ = finished
    table = read_records(folder / "results" / "one")
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


def test_other_rules_and_other_frames_are_never_mixed(finished):
    folder, _ = finished
    table = read_records(folder / "results" / "one")
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


def test_bundles_are_verified(finished, tmp_path):
    folder, plan = finished
    path = tmp_path / "one.zip"
    manifest = bundle.export(plan, path)
    assert manifest["missing"] == []
    assert bundle.verify(path)["run"] == "one"
    pd.testing.assert_frame_equal(read_records(path), read_records(folder / "results" / "one"))
    with pytest.raises(Bench3RError, match="never overwritten"):
        bundle.export(plan, path)
    forged = tmp_path / "forged.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(forged, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(
                name,
                data.replace(b'"status": "ok"', b'"status": "OK"')
                if name.startswith("score/")
                else data,
            )
    with pytest.raises(Bench3RError, match="files are changed: score/"):
        read_records(forged)
    shutil.copy(path, forged)
    with zipfile.ZipFile(forged, "a") as extra:
        extra.writestr("more.txt", "x")
    with pytest.raises(Bench3RError, match=r"not listed: more\.txt"):
        bundle.verify(forged)
    (tmp_path / "no.zip").write_text("no bundle")
    with pytest.raises(Bench3RError, match="not a bundle"):
        bundle.verify(tmp_path / "no.zip")


@pytest.mark.parametrize(
    ("metric", "lower"),
    [
        ("chamfer_norm", True),
        ("acc_mean", True),
        ("rot_deg", True),
        ("scale_absrel", True),
        ("ate", True),
        ("auc30", False),
        ("rra15", False),
        ("delta1", False),
        ("scaleshift_delta1", False),
        ("nc_mean", False),
        ("fscore_5cm", False),
        ("valid", None),
    ],
)
def test_which_way_is_better(metric, lower):
    assert lower_is_better(metric) is lower


def test_fidelity_is_zero_for_what_changes_nothing(tmp_path, monkeypatch):
    """Spark3R without merging is its backbone; with merging it is near, a model skipping layers farther; no truth is used."""
    monkeypatch.chdir(tmp_path)
    spark = [
        {"query_factor": 1, "kv_factor": 1, "layers": "fixed"},
        {"query_factor": 4, "kv_factor": 4, "layers": "fixed"},
    ]
    raw = {
        **CONFIG,
        "name": "near",
        "methods": {"vggt": {}, "spark3r": spark, "oracle": {}},
        "protocols": ["fidelity"],
    }
    plan = make_plan(parse_config(raw, "near.yaml"))
    run_all(plan)
    rows = read_records(tmp_path / "results" / "near")
    values = rows[rows["method"] == "spark3r"].assign(
        merged=lambda t: t["options"].str.contains('"query_factor": 4')
    )
    mean = values.groupby(["merged", "metric"])["value"].mean()
    assert (
        mean[False, "depth_absrel"] < 1e-3
    )  # of the half precision that predictions are stored in
    assert mean[False, "points"] < 1e-3
    assert mean[True, "points"] > 3 * mean[False, "points"]
    table = (tmp_path / "reports" / "near" / "tables" / "fidelity.md").read_text()
    assert "Spark3R" in table
    assert "No truth is used" in table
    others = rows[rows["method"] != "spark3r"]
    assert others["value"].isna().all()
    assert others["reason"].str.startswith("not applicable").all()
