"""Scoring from the command line."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from bench3r import cli
from bench3r.files import read_jsonl
from bench3r.run import paths
from tests.exchange.conftest import finished  # noqa: F401


def test_a_run_on_gpus_is_scored_without_one(finished, tmp_path, monkeypatch):  # noqa: F811
    """Scoring runs on CPU nodes: it asks for no GPU, whatever the run's device."""
    folder, plan = finished
    monkeypatch.chdir(folder)
    changed = plan.model_dump(mode="json")
    changed["config"]["device"] = "cuda"
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(changed))
    cell = next(c.id for c in plan.cells if c.method == "vggt")
    out = tmp_path / "scores.jsonl"
    asked = ["score", cell, "--plan", str(file), "--out", str(out), "--threads", "2"]
    done = CliRunner().invoke(cli.app, asked)
    assert done.exit_code == 0, done.output
    ours = [row["metrics"] for row in read_jsonl(out)]
    theirs = [row["metrics"] for row in read_jsonl(paths.scored("one", cell))]
    assert ours == theirs
