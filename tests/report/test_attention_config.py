"""config/attention.yaml, smoke-sized: its tables and figures hold what they say."""

from __future__ import annotations

import pandas as pd
import pytest

from bench3r.files import read_json
from bench3r.run import paths
from bench3r.run.config import read_config
from tests.conftest import ROOT
from tests.helpers.in_process import SPOILT, report_of_spoilt, run_all, smoke_plan

CHOSEN = ("spark3r_factors", "schedule", "lite3r_factors", "localisation")
LEFT_OUT = (
    "dtu",
    "avggt",
    "block_sparse",
    "depth_anything_3",
)  # tests/test_backbones.py runs these methods everywhere


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The plan and the folder of a run: two backbones, one frame count, and its own tables."""
    folder = tmp_path_factory.mktemp("attention")
    raw = read_config(ROOT / "config" / "attention.yaml")
    fewer = {
        part: {k: v for k, v in raw[part].items() if k not in LEFT_OUT}
        for part in ("datasets", "methods")
    }
    comparisons = {k: v for k, v in raw["ablations"].items() if k in CHOSEN}
    del comparisons["lite3r_factors"]["methods"]["depth_anything_3"]
    plan = smoke_plan(
        "attention",
        frames=[4],
        profile={"frames": [4]},
        backbones=["vggt", "pi3"],
        ablations=comparisons,
        **fewer,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_all(plan)
    return plan, folder


def test_every_cell_and_profile_finishes(finished):
    plan, folder = finished
    table = pd.read_parquet(folder / paths.collected(plan.name))
    bad = table[table["status"] != "ok"][["cell", "status", "reason"]].drop_duplicates()
    assert bad.empty, bad.to_string()
    for entry in plan.profiles:
        record = read_json(folder / paths.profiled(plan.name, entry.id))
        assert record["status"] == "ok", (entry.id, record["reason"])


def tables(finished):
    plan, folder = finished
    return folder / "reports" / plan.name / "tables"


@pytest.mark.parametrize("how", SPOILT)
def test_a_report_bears_lost_records(finished, tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    assert "made so" in report_of_spoilt(*finished, how, tmp_path)


def test_all_tables_and_figures_are_there(finished):
    plan, folder = finished
    names = {p.stem for p in tables(finished).glob("*.md")}
    assert {
        "lite3r_blendedmvs",
        "lite3r_dtu64",
        "ablation_spark3r_factors",
        "localisation",
        "distillation",
        "ablation_schedule",
    } <= names
    figures = {p.stem for p in (folder / "reports" / plan.name / "figures").glob("*.png")}
    assert {"spark3r_factors", "spark3r_sensitivity", "training_pi3", "pareto"} <= figures


def test_pose_only_data_has_no_geometry_and_misses_nothing(finished):
    raw = pd.read_csv(tables(finished) / "lite3r_dtu64.csv")
    assert "lite3r/rot_deg/mean" in raw
    assert "lite3r/absrel/mean" not in raw
    plan, folder = finished
    index = (folder / "reports" / plan.name / "index.md").read_text()
    missing = index.split("## Missing results")[1].split("## Figures")[0]
    assert "lite3r/" not in missing


def test_fp8_weights_are_small_and_said_to_be_emulated(finished):
    raw = pd.read_csv(tables(finished) / "lite3r_blendedmvs.csv").set_index(
        ["method", "backbone", "options"]
    )
    size = raw["stored/weight_bytes"]
    dense = size["vggt"].iloc[0]
    fp8 = size[[("fp8_weight_only" in o and b == "vggt") for _, b, o in raw.index]].iloc[0]
    assert fp8 < 0.5 * dense
    plan, folder = finished
    facts = pd.read_json(folder / paths.collected(plan.name).with_name("facts.jsonl"), lines=True)
    assert (
        facts[facts["options"].str.contains("fp8_weight_only")]["emulated"]
        .str.contains("dequantised")
        .all()
    )


def test_methods_on_other_backbones_are_compared_with_those(finished):
    raw = pd.read_csv(tables(finished) / "table2.csv")
    rows = raw[(raw["method"] == "fastvggt") & (raw["backbone"] == "pi3")]
    dense = raw[raw["method"] == "pi3"]["flops_per_scene"].iloc[0]
    assert rows["flop_saving"].iloc[0] == pytest.approx(1 - rows["flops_per_scene"].iloc[0] / dense)


def test_localised_views_are_scored_against_ground_truth_and_the_joint_model(finished):
    raw = pd.read_csv(tables(finished) / "localisation.csv")
    held = raw[
        raw["options"].str.contains('"localise": [12]', regex=True) & raw["method"].eq("vgg_t3")
    ]
    assert len(held) == 4  # two settings on two backbones
    assert held["joint_rotation_deg"].notna().all()
    assert held["localisation/rot_deg/mean"].notna().all()


def test_frame_counts_get_a_table_and_fitted_exponents(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = smoke_plan(
        "attention",
        frames=[2, 3],
        profile={"frames": [2, 3, 6]},
        methods={"vggt": {}, "spark3r": {}},
        backbones=["vggt"],
        ablations={},
        datasets={"scannet": {"root": "procedural", "views": 6}},
    )
    run_all(plan)
    out = tmp_path / "reports" / "attention"
    frames = pd.read_csv(out / "tables" / "spark3r_frames.csv")
    assert sorted(frames["frames"].unique()) == [2, 3]
    assert frames["flops"].notna().all()
    scaling = pd.read_csv(out / "tables" / "scaling.csv").set_index("method")
    assert 1 < scaling.loc["VGGT", "FLOPs (G)"] < 2  # linear layers and attention
    assert (out / "figures" / "scaling.png").exists()
