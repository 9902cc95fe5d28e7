"""Training survives kill -9 and runs in several processes."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bench3r.stages.train import train_base
from bench3r.training.config import TrainConfig
from tests.conftest import ROOT
from tests.helpers.training import QUICK

SCRIPT = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from bench3r.stages.train import train_base
from bench3r.training.config import TrainConfig
if __name__ == "__main__":
    config = TrainConfig(steps={steps}, checkpoint_every=4, log_every=1, **{quick})
    trainer = train_base("vggt", "tiny", config, Path(sys.argv[1]))
    print("steps", trainer.step)
"""


def test_training_resumes_after_kill_9(tmp_path):
    script = tmp_path / "go.py"
    script.write_text(SCRIPT.format(steps=10_000, quick=QUICK))
    run = subprocess.Popen(
        [sys.executable, script, tmp_path / "run"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    curve = tmp_path / "run" / "curve.csv"
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        checkpoint.exists() and curve.read_text().count("\n") > 7
    ):
        time.sleep(0.1)
    run.send_signal(signal.SIGKILL)
    run.wait()
    steps = [int(r["step"]) for r in csv.DictReader(curve.open())]
    saved = torch.load(checkpoint, weights_only=True)["step"]
    assert saved >= 4
    assert steps[-1] - saved <= 4  # nothing older than one checkpoint interval is lost
    config = TrainConfig(steps=saved + 2, checkpoint_every=4, log_every=1, **QUICK)
    trainer = train_base("vggt", "tiny", config, tmp_path / "run")
    assert trainer.step == saved + 2
    steps = [int(r["step"]) for r in csv.DictReader(curve.open())]
    assert steps == list(
        range(1, saved + 3)
    )  # every step once: rows after the checkpoint were dropped


@pytest.mark.parametrize("sharding", ["none", "fsdp"])
def test_two_gloo_processes_stay_equal_and_resume(tmp_path, sharding):
    script = tmp_path / "go.py"
    for steps in (2, 3):
        script.write_text(SCRIPT.format(steps=steps, quick={**QUICK, "sharding": sharding}) + CHECK)
        run_twice(script, tmp_path)
        assert torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)["step"] == steps


def run_twice(script: Path, tmp_path: Path) -> None:
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    command = [
        torchrun,
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        str(tmp_path / "run"),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("equal weights") == 2


CHECK = """
    import torch.distributed as dist
    whole = [p.full_tensor() if trainer.sharded else p for p in trainer.model.parameters()]
    mine = torch.cat([p.detach().flatten() for p in whole])
    other = [torch.zeros_like(mine) for _ in range(2)]
    dist.all_gather(other, mine)
    assert torch.equal(other[0], other[1])
    if trainer.sharded:
        assert sum(p.to_local().numel() for p in trainer.model.parameters()) < 0.7 * mine.numel()
    print("equal weights")
    dist.destroy_process_group()
"""
