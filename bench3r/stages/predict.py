"""Predict: one cell under supervision."""

from __future__ import annotations

from pathlib import Path

from bench3r.jobs.gpus import claim_for
from bench3r.jobs.predict import Supervisor
from bench3r.run import paths
from bench3r.run.plan import read_plan
from bench3r.run.records import PredictRecord


def predict(plan_file: Path, name: str, out: Path | None, threads: int) -> list[PredictRecord]:
    """Predict all scenes of the cell ``name`` and return their records.

    Raises Bench3RError for an unknown cell, a missing GPU and a lost infrastructure.
    """
    plan = read_plan(plan_file)
    cell = plan.cell(name)
    claim_for(plan.config.device)
    supervisor = Supervisor(plan_file, plan, cell, out or paths.predicted(plan.name, name), threads)
    prepared = paths.prepared(cell.dataset)
    base = paths.trained_or_none(plan.name, cell.base)
    fitted = paths.trained_or_none(plan.name, cell.trained)
    return supervisor.run(prepared, base, fitted)


def summary(name: str, rows: list[PredictRecord]) -> list[str]:
    """How many scenes are fine, and why the others are not, one line each."""
    bad = [row for row in rows if row.status != "ok"]
    lines = [f"{name}: {len(rows) - len(bad)} of {len(rows)} scenes ok"]
    return lines + sorted({f"  {row.status}: {row.reason}" for row in bad})
