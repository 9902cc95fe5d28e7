"""What breaks in the middle: the scheduler killed, two at once, a full disk, a wrong clock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.helpers.plugins import write_oracle_that
from tests.helpers.project import copy_repository, environment_of

CONFIG = {
    "name": "faults",
    "methods": {"oracle": {}, "slow": {}},
    "frames": [2],
    "protocols": ["depth_median"],
    "datasets": {"scannet": {"root": "procedural", "scenes": 3, "views": 2}},
    "profile": {"repeats": 1},
}
COMMAND = [
    sys.executable,
    "-m",
    "snakemake",
    "--cores",
    "2",
    "--configfile",
    "config/faults.yaml",
    "--keep-going",
    "--rerun-incomplete",
]


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of the repository with a slow method and a small run."""
    copy_repository(tmp_path)
    write_oracle_that(tmp_path, "slow", "time.sleep(3)")
    (tmp_path / "config" / "faults.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


def start(folder: Path) -> subprocess.Popen[str]:
    log = (folder / "log").open("w")
    return subprocess.Popen(
        COMMAND,
        cwd=folder,
        env=environment_of(folder),
        stdout=log,
        stderr=log,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment_of(folder),
        capture_output=True,
        text=True,
        timeout=300,
    )


def until(folder: Path, scenes: int) -> Path:
    """Wait until the slow cell has ``scenes`` finished scenes; its progress file."""
    for _ in range(1800):
        found = list(folder.glob("results/faults/predict/slow*/progress.jsonl"))
        if found and len(found[0].read_text().splitlines()) >= scenes:
            return found[0]
        time.sleep(0.1)
    raise AssertionError((folder / "log").read_text()[-2000:])


def statuses(folder: Path) -> set[str]:
    return set(pd.read_parquet(folder / "results/faults/records.parquet")["status"])


@pytest.mark.slow
def test_the_scheduler_is_killed_and_started_again(project):
    running = start(project)
    progress = until(project, 1)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    kept = progress.read_text().splitlines()
    first = progress.parent / json.loads(kept[0])["prediction"]
    made = first.stat().st_mtime_ns
    refused = run(project)
    assert refused.returncode != 0
    assert "--unlock" in refused.stdout + refused.stderr  # Snakemake says what to do
    assert run(project, "--unlock").returncode == 0
    done = run(project)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert first.stat().st_mtime_ns == made, "a finished scene was computed again"
    assert statuses(project) == {"ok"}


@pytest.mark.slow
def test_two_at_once(project):
    """The second run is refused and harms nothing; the first ends as if alone."""
    running = start(project)
    until(project, 1)
    second = run(project)
    assert second.returncode != 0
    assert "lock" in (second.stdout + second.stderr).lower()
    assert running.wait(timeout=400) == 0, (project / "log").read_text()[-2000:]
    assert statuses(project) == {"ok"}
    assert "Nothing to be done" in (lambda d: d.stdout + d.stderr)(run(project))


@pytest.mark.slow
def test_a_clock_that_goes_backwards_recomputes_nothing(project):
    assert run(project).returncode == 0
    predictions = {p: p.stat().st_mtime_ns for p in project.glob("results/faults/predict/*/*.npz")}
    past = time.time() - 86_400
    for path in project.glob(
        "results/faults/predict/*.jsonl"
    ):  # as if written a day before their inputs
        os.utime(path, (past, past))
    assert run(project).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in predictions} == predictions
    assert statuses(project) == {"ok"}


@pytest.mark.slow
def test_a_full_disk_loses_nothing_that_was_finished(project):
    """Predictions go to a small file system; with room again, a rerun makes what is missing."""
    (project / "results" / "faults").mkdir(parents=True)
    place = project / "results" / "faults" / "predict"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=140k", "tmpfs", str(place)]
        ).returncode
    ):
        pytest.skip("a small file system cannot be mounted here")
    try:
        done = run(project)
        text = done.stdout + done.stderr
        assert done.returncode != 0
        assert "disk" in text.lower() or "space" in text.lower(), text[-3000:]
        whole = {p: p.read_bytes() for p in place.glob("*/*.npz")}
        assert subprocess.run(["mount", "-o", "remount,size=50m", str(place)]).returncode == 0
        done = run(project)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        finished = [
            json.loads(line) for p in place.glob("*.jsonl") for line in p.read_text().splitlines()
        ]
        assert len(finished) == 6
        named = {r["prediction"] for r in finished}
        for path, data in whole.items():
            if path.name in named:
                assert path.read_bytes() == data
        assert statuses(project) == {"ok"}
    finally:
        subprocess.run(["umount", "-l", str(place)])
