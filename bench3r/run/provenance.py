"""Where a number comes from: sources, versions, device. Collected inside the job that measures."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import socket
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from bench3r.api.registry import ROOT
from bench3r.run.records import Provenance

PACKAGES = ("torch", "numpy", "scipy", "fvcore", "pandas", "snakemake")


def version_of(package: str) -> str | None:
    """Its version; None when it is not installed (measuring alone needs no workflow tools)."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def git_state() -> tuple[str | None, bool | None]:
    """Commit, and whether the tree differs from it; nothing outside a repository."""
    try:
        sha = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return sha, bool(changes)


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def cpu_name() -> str:
    """Model name of the processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """Name of the device that computes."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    return cpu_name()


def provenance(device: str) -> Provenance:
    """Git state, versions, host, device and its settings, time (UTC)."""
    import torch

    git, dirty = git_state()
    found = Provenance(
        git=git,
        dirty=dirty,
        versions={name: version_of(name) for name in PACKAGES},
        python=platform.python_version(),
        host=socket.gethostname(),
        device=device_name(device),
        device_type=device,
        slurm_job=os.environ.get("SLURM_JOB_ID"),
        slurm_node=os.environ.get("SLURMD_NODENAME"),
        visible_gpus=os.environ.get("CUDA_VISIBLE_DEVICES"),
        cpus=int(os.environ.get("SLURM_CPUS_PER_TASK") or len(os.sched_getaffinity(0))),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        threads=torch.get_num_threads(),
        tf32=torch.backends.cuda.matmul.allow_tf32,
        attention="scaled_dot_product_attention",
    )
    if device == "cuda":
        found.cuda = torch.version.cuda
        found.gpu_memory_bytes = torch.cuda.get_device_properties(0).total_memory
    return found
