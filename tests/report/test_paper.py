"""config/paper.yaml, every cell, smoke-sized: all stages in one process, at the tiny scale."""

from __future__ import annotations

import pandas as pd
import pytest

from bench3r.files import read_json
from bench3r.run import paths
from tests.helpers.in_process import SPOILT, report_of_spoilt, run_all, smoke_plan
from tests.helpers.latex import compiled, needs_latex, too_wide


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The plan of the smoke run and the folder in which all of its stages ran."""
    folder = tmp_path_factory.mktemp("paper")
    plan = smoke_plan("paper", frames=[2], profile={"frames": [2]})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_all(plan)
    return plan, folder


def test_every_cell_finishes(finished):
    plan, folder = finished
    table = pd.read_parquet(folder / paths.collected(plan.name))
    bad = table[table["status"] != "ok"][["cell", "status", "reason"]].drop_duplicates()
    assert bad.empty, bad.to_string()
    assert set(table["cell"]) == {c.id for c in plan.cells}


def test_every_profile_is_measured(finished):
    plan, folder = finished
    for entry in plan.profiles:
        record = read_json(folder / paths.profiled(plan.name, entry.id))
        assert record["status"] == "ok", (entry.id, record["reason"])
        assert record["flops"] > 0


@pytest.mark.parametrize("how", SPOILT)
def test_a_report_bears_lost_records(finished, tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    assert "made so" in report_of_spoilt(*finished, how, tmp_path)


def test_all_tables_and_figures_are_there(finished):
    plan, folder = finished
    out = folder / "reports" / plan.name
    tables = {p.stem for p in (out / "tables").glob("*.md")}
    expected = {
        "table1",
        "table2",
        "table2_differences",
        "table3",
        "table4",
        "table5",
        "equal_cost",
        "routing",
        "savings",
        "training",
        "detail",
    }
    expected |= {f"ablation_{n}" for n in plan.config.ablations if n != "max_depth"}
    assert expected <= tables
    figures = {p.stem for p in (out / "figures").glob("*.png")}
    assert {
        "depth_distribution",
        "depth_maps_scannet",
        "depth_complexity",
        "finetuning",
        "pareto",
    } <= figures


@needs_latex
@pytest.mark.parametrize("columns", [1, 2])
def test_all_tables_compile(finished, tmp_path, columns):
    plan, folder = finished
    files = sorted((folder / "reports" / plan.name / "tables").glob("*_compact.tex"))
    assert len(files) > 10
    log = compiled([file.read_text() for file in files], columns, tmp_path)
    assert not too_wide(log), too_wide(log)


def test_ablations_compare_what_they_say(finished):
    plan, folder = finished
    raw = pd.read_csv(folder / "reports" / plan.name / "tables" / "ablation_alpha.csv")
    assert list(raw["method"]) == ["vggt"] + ["spatial_mor"] * 5
    four = pd.read_csv(folder / "reports" / plan.name / "tables" / "table4.csv")
    assert len(four) == 4
    five = pd.read_csv(folder / "reports" / plan.name / "tables" / "table5.csv")
    assert set(five["scene type"]) == {"indoor", "controlled", "real-world"}
