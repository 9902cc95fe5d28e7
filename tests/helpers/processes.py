"""Scripts in several processes on this machine, joined by gloo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

START = """
import torch
torch.set_num_threads(1)
import torch.distributed as dist
dist.init_process_group("gloo")
"""
END = """
dist.destroy_process_group()
print("done")
"""


def run_processes(folder: Path, body: str, count: int = 2) -> str:
    """Run the Python code ``body`` in ``count`` processes; what they print. Fails when one does."""
    script = folder / "go.py"
    script.write_text(START + body + END)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*command, f"--nproc-per-node={count}", str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("done") == count
    return done.stdout
