"""Jobs on a workstation claim one GPU each."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench3r.api.errors import Bench3RError
from bench3r.jobs import gpus

CODE = """
import sys, time
from pathlib import Path
from bench3r.jobs.gpus import claim
print(claim(float(sys.argv[3]), Path(sys.argv[1]), Path(sys.argv[2])), flush=True)
time.sleep(float(sys.argv[4]))
"""


@pytest.fixture
def machine(tmp_path):
    """Two GPUs, and device files that are none."""
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    return tmp_path


def start(machine, wait, hold):
    environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    command = [
        sys.executable,
        "-c",
        CODE,
        str(machine),
        str(machine / "locks"),
        str(wait),
        str(hold),
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_each_job_gets_a_gpu_and_the_next_one_waits(machine):
    assert gpus.present(machine) == [0, 1]
    first, second = start(machine, 5, 30), start(machine, 5, 30)
    got = {int(p.stdout.readline()) for p in (first, second)}
    assert got == {0, 1}
    late = start(machine, 0.5, 0)
    assert "none of the 2 GPUs became free" in late.communicate(timeout=30)[1]
    waiting = start(machine, 20, 0)
    first.kill()  # also a killed job gives its GPU back
    assert int(waiting.communicate(timeout=30)[0]) in got
    second.kill()


def test_a_choice_is_respected_and_a_lack_is_said(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert gpus.claim(devices=machine) is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Bench3RError, match="no NVIDIA GPU"):
        gpus.claim(devices=tmp_path / "empty")
