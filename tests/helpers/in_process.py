"""Runs a plan in one process: the same stages as the rules call, without Snakemake."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from bench3r.data.prepared import read_prepared
from bench3r.files import read_jsonl, write_json, write_jsonl
from bench3r.jobs.predict_worker import CellRun
from bench3r.jobs.profile_worker import profile
from bench3r.run import paths
from bench3r.run.config import parse_config, read_config
from bench3r.run.context import Trained
from bench3r.run.plan import Plan
from bench3r.run.planner import make_plan
from bench3r.stages.collect import write_tables
from bench3r.stages.prepare import prepare
from bench3r.stages.report import report
from bench3r.stages.score import score_cell
from bench3r.stages.train import train
from tests.conftest import ROOT


def smoke_plan(name: str, **changes: Any) -> Plan:
    """The plan of config/NAME.yaml with every cell, at the tiny scale.

    One scene per cell, two training steps.
    """
    raw = read_config(ROOT / "config" / f"{name}.yaml")
    small = {"smoke": True, "scale": "tiny", "device": "cpu"}
    return make_plan(parse_config({**raw, **small, **changes}, f"{name}.yaml"))


def trained_path(plan: Plan, training: str | None) -> Path | None:
    """Where the weights of a training lie; None: no training."""
    return paths.trained(plan.name, training) if training else None


def run_all(plan: Plan) -> None:
    """All stages, in the current folder."""
    run = plan.name
    for dataset in plan.datasets:
        prepare(dataset, paths.prepared(dataset.id), paths.data_folder(dataset.id))
    for training in sorted(plan.trainings, key=lambda t: t.base is not None):
        train(plan, training.id, paths.trained(run, training.id))
    for cell in plan.cells:
        base = trained_path(plan, cell.base)
        fitted = trained_path(plan, cell.trained)
        out = paths.predicted(run, cell.id)
        prepared = paths.prepared(cell.dataset)
        out.with_suffix("").mkdir(parents=True)
        job = CellRun(plan, cell, out.with_suffix(""), read_prepared(prepared))
        job.run(read_prepared(prepared).items(cell.frames), base, fitted)
        write_jsonl(out, read_jsonl(out.with_suffix("") / "progress.jsonl"))
        score_cell(plan, cell, out, prepared, paths.scored(run, cell.id))
    for entry in plan.profiles:
        base = trained_path(plan, entry.base)
        weights = Trained(base, trained_path(plan, entry.trained))
        record = profile(entry, plan.config, paths.prepared(entry.dataset), weights)
        write_json(paths.profiled(run, entry.id), record.model_dump(mode="json"))
    write_tables(plan, paths.collected(run))
    report(plan, paths.collected(run), Path("reports") / run / "index.md")


SPOILT = ("no value anywhere", "six of ten cells lost")


def report_of_spoilt(plan: Plan, folder: Path, how: str, into: Path) -> str:
    """The report of the finished run in ``folder``, were its records as bad as ``how`` says.

    Written to ``into``/reports/RUN/index.md.
    """
    run = plan.name
    rng = random.Random(0)
    unused = shutil.ignore_patterns("predict", "score")
    shutil.copytree(folder / "results", into / "results", ignore=unused)
    file = into / paths.collected(run)
    table = pd.read_parquet(file)
    cells = sorted(table["cell"].unique())
    lost = set(cells if how == SPOILT[0] else rng.sample(cells, round(0.6 * len(cells))))
    hit = table["cell"].isin(lost)
    table.loc[hit, ["value", "status", "reason"]] = [float("nan"), "invalid", "made so"]
    table.to_parquet(file, index=False)
    for name in ("profiles", "facts"):
        path = file.with_name(f"{name}.jsonl")
        write_jsonl(path, [row for row in read_jsonl(path) if rng.random() < 0.5])
    out = into / "reports" / run / "index.md"
    report(plan, file, out)
    return out.read_text()
