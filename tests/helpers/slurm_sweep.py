"""The literal command on a throw-away SLURM, in a copy of the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tests.helpers.project import copy_repository

LITERAL = ["snakemake", "--cores", "all", "--profile", "slurm"]
ON_GPUS = ("train", "predict", "profile")
RULES = (*ON_GPUS, "prepare", "score", "collect", "report")
SMALL = {"mem_mb": 3000, "runtime": 10, "cpus_per_task": 1}
CONFIG: dict[str, Any] = {
    "name": "sweep",
    "device": "cpu",
    "base": "shipped",
    "methods": {"vggt": {}, "layer_skip": {}, "oracle": {}},
    "datasets": {"scannet": {"root": "procedural", "scenes": 2, "views": 4}},
    "frames": [3],
    "fit_scenes": 3,
    "protocols": ["depth_median", "relpose_pi3"],
    "profile": {"frames": [3], "warmup": 1, "repeats": 3, "scenes": 1},
}
TWO_CELLS = {"methods": {"vggt": {}, "oracle": {}}, "profile": {"frames": [3], "repeats": 1}}
# What a test changes of slurm/config.yaml: where jobs go, how little they need, how often it looks.
FASTER = {
    "configfile": "config/sweep.yaml",
    "slurm-no-account": True,
    "slurm-status-command": "squeue",
    "slurm-init-seconds-before-status-checks": 5,
    "seconds-between-status-checks": 2,
    "latency-wait": 20,
}


class Sweep:
    """A copy of what a run needs, with a small sweep as the configuration of its slurm profile."""

    def __init__(self, cluster: Any, folder: Path, name: str, **changes: Any) -> None:
        self.cluster = cluster
        self.folder = copy_repository(folder, "slurm")
        self.results = folder / "results" / name
        self.index = folder / "reports" / name / "index.md"
        config = {**CONFIG, "name": name, **changes}
        (folder / "config" / "sweep.yaml").write_text(yaml.safe_dump(config))
        self.change_profile(_make_small)

    def change_profile(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Let ``change`` edit the parsed slurm/config.yaml."""
        path = self.folder / "slurm" / "config.yaml"
        profile = yaml.safe_load(path.read_text())
        change(profile)
        path.write_text(yaml.safe_dump(profile))

    def environment(self) -> dict[str, str]:
        """The environment of the cluster, in which the copy's own code runs."""
        known = self.cluster.environment
        programs = Path(shutil.which("snakemake") or "").parent
        path = os.pathsep.join([str(self.cluster.base / "bin"), str(programs), known["PATH"]])
        own = {"PATH": path, "PYTHONPATH": str(self.folder), "BENCH3R_ROOT": str(self.folder)}
        return {**known, **own}

    def run(self, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """The literal command, to its end."""
        return subprocess.run(
            LITERAL,
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def start(self) -> subprocess.Popen[bytes]:
        """The literal command, running; it prints to a file."""
        with self.log.open("w") as log:
            return subprocess.Popen(
                LITERAL, cwd=self.folder, env=self.environment(), stdout=log, stderr=log
            )

    @property
    def log(self) -> Path:
        """What a started run prints."""
        return self.folder / "log"

    def table(self) -> pd.DataFrame:
        """The collected records."""
        return pd.read_parquet(self.results / "records.parquet")

    def predicted(self) -> Iterator[dict[str, Any]]:
        """Where every prediction ran."""
        for file in sorted((self.results / "predict").glob("*.jsonl")):
            for line in file.read_text().splitlines():
                yield json.loads(line)["provenance"]


def _make_small(profile: dict[str, Any]) -> None:
    profile |= FASTER
    for rule in RULES:
        asks = {"gpu": 1} if rule in ON_GPUS else {}  # device: cpu asks for none by itself
        profile["set-resources"].setdefault(rule, {}).update({**SMALL, **asks})
    profile["default-resources"] |= SMALL


def wait_for(seen: Callable[[], bool], running: subprocess.Popen[bytes], tries: int) -> bool:
    """Whether ``seen`` became true before the run ended."""
    for _ in range(tries):
        time.sleep(0.2)
        if running.poll() is not None:
            return False
        if seen():
            return True
    return False


def jobs(cluster: Any) -> dict[str, dict[str, str]]:
    """What SLURM remembers of its jobs, by id."""
    found = {}
    for line in cluster.run("scontrol", "show", "job", "-o").splitlines():
        if line.startswith("JobId="):
            job = dict(word.split("=", 1) for word in line.split() if "=" in word)
            found[job["JobId"]] = job
    return found


def asks_for(what: str, job: dict[str, str]) -> bool:
    """Whether a job asked for ``what`` ("gpu", "gres")."""
    return any(what in value for key, value in job.items() if key.startswith("Tres"))
