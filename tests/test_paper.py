"""config/paper.yaml, every cell of it, smoke-sized: the same stages as the rules call, in one process, at the tiny scale."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench3r.config import parse_config, read_config
from bench3r.files import read_json, write_jsonl
from bench3r.plan import make_plan
from bench3r.stages import paths
from bench3r.stages.collect import write_tables
from bench3r.stages.prepare import prepare
from bench3r.stages.profile import write_profile
from bench3r.stages.report import report
from bench3r.stages.score import score_cell
from bench3r.stages.train import train
from bench3r.stages.worker import CellRun
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The plan of the smoke run and the folder in which all of its stages ran."""
    folder = tmp_path_factory.mktemp("paper")
    raw = {**read_config(ROOT / "config" / "paper.yaml"), "smoke": True, "scale": "tiny", "device": "cpu"}
    plan = make_plan(parse_config({**raw, "frames": [2], "profile": {"frames": [2]}}, "paper.yaml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_all(plan)
    return plan, folder


def run_all(plan) -> None:
    run, config = plan.config["name"], plan.run_config()
    for dataset in plan.datasets:
        prepare(dataset, paths.prepared(dataset.id), paths.data_folder(dataset.id))
    for training in sorted(plan.trainings, key=lambda t: t.base is not None):
        train(plan, training.id, paths.trained(run, training.id))
    for cell in plan.cells:
        base, fitted = (paths.trained(run, t) if t else None for t in (cell.base, cell.trained))
        out, prepared = paths.predicted(run, cell.id), paths.prepared(cell.dataset)
        out.with_suffix("").mkdir(parents=True)
        job = CellRun(plan, cell, out.with_suffix(""), read_json(prepared))
        job.run(read_json(prepared)["lists"]["2"], base, fitted)
        write_jsonl(out, rows_of(out))
        score_cell(plan, cell, out, prepared, paths.scored(run, cell.id))
    for entry in plan.profiles:
        base, fitted = (paths.trained(run, t) if t else None for t in (entry.base, entry.trained))
        write_profile(entry, config, paths.profiled(run, entry.id), paths.prepared(entry.dataset), base, fitted, 1)
    write_tables(plan, paths.collected(run))
    report(plan, paths.collected(run), Path("reports") / run / "index.md")


def rows_of(out: Path) -> list[dict]:
    from bench3r.files import read_jsonl

    return read_jsonl(out.with_suffix("") / "progress.jsonl")


def test_every_cell_finishes(finished):
    plan, folder = finished
    table = pd.read_parquet(folder / paths.collected(plan.config["name"]))
    bad = table[table["status"] != "ok"][["cell", "status", "reason"]].drop_duplicates()
    assert bad.empty, bad.to_string()
    assert set(table["cell"]) == {c.id for c in plan.cells}


def test_every_profile_is_measured(finished):
    plan, folder = finished
    for entry in plan.profiles:
        record = read_json(folder / paths.profiled(plan.config["name"], entry.id))
        assert record["status"] == "ok", (entry.id, record["reason"])
        assert record["flops"] > 0


def test_all_tables_and_figures_are_there(finished):
    plan, folder = finished
    out = folder / "reports" / plan.config["name"]
    tables = {p.stem for p in (out / "tables").glob("*.md")}
    expected = {"table1", "table2", "table2_differences", "table3", "table4", "table5", "equal_cost", "routing", "savings",
                "training", "detail"}  # fmt: skip
    expected |= {f"ablation_{n}" for n in plan.config["ablations"] if n != "max_depth"}
    assert expected <= tables
    figures = {p.stem for p in (out / "figures").glob("*.png")}
    assert {"depth_distribution", "depth_maps_scannet", "depth_complexity", "finetuning", "pareto"} <= figures


def test_ablations_compare_what_they_say(finished):
    plan, folder = finished
    raw = pd.read_csv(folder / "reports" / plan.config["name"] / "tables" / "ablation_alpha.csv")
    assert list(raw["method"]) == ["vggt"] + ["spatial_mor"] * 5
    four = pd.read_csv(folder / "reports" / plan.config["name"] / "tables" / "table4.csv")
    assert len(four) == 4
    five = pd.read_csv(folder / "reports" / plan.config["name"] / "tables" / "table5.csv")
    assert set(five["scene type"]) == {"indoor", "controlled", "real-world"}
