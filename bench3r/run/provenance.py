"""Where a number comes from: sources, versions, device. Collected inside the job that measures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from bench3r.api.registry import ROOT
from bench3r.files import tree_digest

PACKAGES = ("torch", "numpy", "scipy", "fvcore", "pandas", "snakemake")
LIBRARY = Path(__file__).resolve().parent.parent

# folders whose change makes the records of a stage stale
MODELS = ("api", "models", "recursion", "attention")
RUNNING = (*MODELS, "data", "pairwise", "measure", "jobs")
STAGE_CODE = {
    "prepare": ("api", "data", "stages/prepare.py"),
    "train": (*MODELS, "data", "training", "stages/train.py"),
    "predict": RUNNING,
    "profile": RUNNING,
    "score": ("api", "data", "metrics", "protocols", "stages/score.py"),
}


@cache
def stage_hash(stage: str) -> str:
    """Hash of the library sources behind a stage."""
    return tree_digest(LIBRARY / part for part in STAGE_CODE[stage])


def version_of(package: str) -> str | None:
    """Its version; None when it is not installed (measuring alone needs no workflow tools)."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def git_state() -> dict[str, Any]:
    """Commit and whether the tree differs from it; empty outside a repository."""
    try:
        sha = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        dirty = subprocess.run(
            ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return {"git": sha.strip(), "dirty": bool(dirty.stdout.strip())}
    except (OSError, subprocess.CalledProcessError):
        return {"git": None, "dirty": None}


def cpu_name() -> str:
    """Model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """Name of the device that computes."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    return cpu_name()


def provenance(device: str) -> dict[str, Any]:
    """Git state, versions, host, device and its settings, time (UTC)."""
    out: dict[str, Any] = {
        **git_state(),
        "versions": {p: version_of(p) for p in PACKAGES},
        "python": platform.python_version(),
        "host": socket.gethostname(),
        "device": device_name(device),
        "device_type": device,
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "slurm_node": os.environ.get("SLURMD_NODENAME"),
        "visible_gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "cpus": int(os.environ.get("SLURM_CPUS_PER_TASK") or len(os.sched_getaffinity(0))),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return {**out, **_torch_state(device)}


def _torch_state(device: str) -> dict[str, Any]:
    import torch

    state: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "attention": "scaled_dot_product_attention",
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        state |= {"cuda": torch.version.cuda, "gpu_memory_bytes": properties.total_memory}
    return state
