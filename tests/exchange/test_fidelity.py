"""The distance from the unchanged backbone's output, through all stages."""

from __future__ import annotations

from bench3r.exchange.source import read_table
from bench3r.run.config import parse_config
from bench3r.run.planner import make_plan
from tests.exchange.conftest import CONFIG
from tests.helpers.in_process import run_all


def test_fidelity_is_zero_for_what_changes_nothing(tmp_path, monkeypatch):
    """Spark3R without merging is its backbone, with merging near it; no ground truth is used."""
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
    rows = read_table(tmp_path / "results" / "near")
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
    assert "No ground truth is used" in table
    others = rows[rows["method"] != "spark3r"]
    assert others["value"].isna().all()
    assert others["reason"].str.startswith("not applicable").all()
