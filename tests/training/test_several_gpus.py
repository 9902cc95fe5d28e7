"""Training in several processes as the workflow starts it."""

from __future__ import annotations

import os
import subprocess
import sys

from bench3r.api.method import BuildContext
from bench3r.files import read_json, write_json
from bench3r.models.backbones import load_backbone
from bench3r.models.weights import read_state_dict
from bench3r.run.config import parse_config
from bench3r.run.planner import make_plan
from bench3r.run.workflow import WorkflowPlan
from tests.conftest import ROOT
from tests.helpers.changed import method
from tests.helpers.configs import changed
from tests.helpers.training import QUICK


def test_the_command_of_the_workflow_trains_in_two_processes(tmp_path):
    large = {"sharding": "fsdp", "activation_checkpointing": True}
    quick = {**QUICK, **large, "steps": 2, "gpus": 2, "heights": (72,)}
    config = parse_config(changed(methods={"mor": {}}, finetune=quick), "t")
    plan = make_plan(config)
    (entry,) = plan.trainings
    write_json(tmp_path / "plan.json", plan.model_dump(mode="json"))
    launcher = WorkflowPlan(read_json(tmp_path / "plan.json")).launcher(entry.id)
    assert launcher.endswith("--nproc-per-node=2")
    arguments = [*launcher.split()[1:], "-m", "bench3r", "train", entry.id]
    done = subprocess.run(
        [sys.executable, *arguments, "--plan", "plan.json", "--out", "out.safetensors"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    state = read_state_dict(tmp_path / "out.safetensors")
    model = load_backbone(BuildContext("vggt", "tiny"))
    method("mor").apply(model)
    whole = model.state_dict()
    assert any(name.startswith("schedule.routers") for name in state)
    blocks = {n for n in whole if n.startswith(("aggregator.frame_", "aggregator.global_"))}
    assert blocks
    assert blocks <= set(state)
    assert all(whole[name].shape == value.shape for name, value in state.items())
    record = read_json(tmp_path / "out.json")
    assert record["train"]["gpus"] == 2
    assert record["steps_done"] == 2
    assert record["scenes_seen"] == 8, "two scenes a step in each of two processes"
