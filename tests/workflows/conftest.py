"""A small run, made once for all tests of the workflow, and a cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers import slurm_cluster
from tests.helpers.project import Project, text_of

CONFIG = {
    "name": "small",
    "methods": {"vggt": {}, "oracle": {}},
    "datasets": {
        "scannet": {"root": "procedural", "scenes": 2, "views": 3},
        "mipnerf360": {"root": "procedural", "scenes": 2, "views": 3},
    },
    "frames": [3],
    "base": "train",
    "train": {
        "steps": 3,
        "frames_per_batch": 4,
        "view_counts": [2],
        "heights": [96],
        "queries": 8,
        "warmup": 1,
    },
    "profile": {"frames": [3], "warmup": 1, "repeats": 3},
    "limits": {"seconds_per_scene": 20, "memory_gb": 3},
    "fit_scenes": 3,
}


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """A project that has run the small configuration once; tests get it by ``project``."""
    made = Project(tmp_path_factory.mktemp("project"), CONFIG)
    done = made.snakemake()
    assert done.returncode == 0, text_of(done)[-6000:]
    return made


@pytest.fixture
def project(finished) -> Project:
    """The finished small run, with its own configuration again."""
    finished.write(CONFIG)
    return finished


@pytest.fixture(scope="session")
def cluster():
    """A cluster; skipped where SLURM is neither there nor can be installed."""
    if slurm_cluster.missing():
        if os.geteuid() or shutil.which("apt-get") is None:
            pytest.skip(f"SLURM is not installed: {', '.join(slurm_cluster.missing())}")
        try:
            slurm_cluster.install()
        except subprocess.CalledProcessError:
            pytest.skip("SLURM's packages cannot be installed here")
    base = Path(f"/tmp/bench3r-slurm-{os.getpid()}")  # the path of a socket must be short
    with slurm_cluster.Cluster(base) as running:
        yield running
    shutil.rmtree(base, ignore_errors=True)
