"""A copy of the repository in which a test runs the workflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tests.conftest import ROOT

FOLDERS = ("bench3r", "methods", "datasets", "workflows", "config")
FILES = ("Snakefile", "environment.yml")
SNAKEMAKE = (sys.executable, "-m", "snakemake", "--cores", "2", "--keep-going")


def copy_repository(folder: Path, *more: str) -> Path:
    """Copy what a run needs, and the folders ``more``, into ``folder``."""
    for name in (*FOLDERS, *more):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    (folder / "reports").mkdir()
    return folder


def environment_of(folder: Path) -> dict[str, str]:
    """The environment in which the copy's own code runs."""
    own = {"PYTHONPATH": str(folder), "BENCH3R_ROOT": str(folder), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own}


class Project:
    """A copy of the repository with one configuration."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = copy_repository(folder)
        self.run = str(config["name"])
        self.results = folder / "results" / self.run
        self.report = folder / "reports" / self.run
        self.write(config)

    def write(self, config: dict[str, Any]) -> None:
        """Make ``config`` the configuration."""
        path = self.folder / "config" / f"{self.run}.yaml"
        path.write_text(yaml.safe_dump(config))

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the workflow to its end."""
        command = [*SNAKEMAKE, "--configfile", f"config/{self.run}.yaml", *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment_of(self.folder),
            capture_output=True,
            text=True,
            timeout=900,
        )

    def bench3r(self, *arguments: str) -> None:
        """Run a command, which must succeed."""
        command = [sys.executable, "-m", "bench3r", *arguments]
        environment = environment_of(self.folder)
        subprocess.run(command, cwd=self.folder, env=environment, check=True, capture_output=True)

    def table(self) -> pd.DataFrame:
        """The collected records."""
        return pd.read_parquet(self.results / "records.parquet")

    def file(self, stage: str, pattern: str) -> Path:
        """The first file of a stage that matches."""
        return next((self.results / stage).glob(pattern))

    def rows(self, path: Path) -> list[dict[str, Any]]:
        """The records of a JSON-lines file."""
        return [json.loads(line) for line in path.read_text().splitlines()]

    def index(self) -> str:
        """The report."""
        return (self.report / "index.md").read_text()

    def unfinish(self, output: Path) -> None:
        """Take away ``output`` and all that follows from it, as if its job had not ended."""
        follow = (
            output,
            self.results / "score" / output.name,
            self.results / "records.parquet",
            self.report / "index.md",
        )
        for path in follow:
            path.unlink(missing_ok=True)


def text_of(done: subprocess.CompletedProcess[str]) -> str:
    """All that a run printed."""
    return done.stdout + done.stderr


def outputs(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Outputs that a run made."""
    made: set[str] = set()
    for line in text_of(done).splitlines():
        if line.strip().startswith("output:"):
            made |= {output.strip() for output in line.split("output:")[1].split(",")}
    return made
