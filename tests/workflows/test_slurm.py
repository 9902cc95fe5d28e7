"""The literal command on a real SLURM: jobs get their GPUs and CPUs, records name the worker, nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers import slurm_cluster
from tests.helpers.plugins import write_oracle_that

LITERAL = ["snakemake", "--cores", "all", "--profile", "slurm"]
CONFIG = {
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
FASTER = {  # what a test changes of slurm/config.yaml: where jobs go, how little they need, how often it looks
    "configfile": "config/sweep.yaml",
    "slurm-no-account": True,
    "slurm-status-command": "squeue",
    "slurm-init-seconds-before-status-checks": 5,
    "seconds-between-status-checks": 2,
    "latency-wait": 20,
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster; skipped where SLURM is neither there nor can be installed."""
    if slurm_cluster.missing():
        if os.geteuid() or shutil.which("apt-get") is None:
            pytest.skip(f"SLURM is not installed: {', '.join(slurm_cluster.missing())}")
        try:
            slurm_cluster.install()
        except subprocess.CalledProcessError:
            pytest.skip("SLURM's packages cannot be installed here")
    base = Path(f"/tmp/bench3r-slurm-{os.getpid()}")  # sockets want a short path
    with slurm_cluster.Cluster(base) as running:
        yield running
    shutil.rmtree(base, ignore_errors=True)


def project(folder: Path, name: str, **changes) -> Path:
    """A copy of what a run needs, with the small sweep as the configuration of its slurm profile."""
    for part in (
        "Snakefile",
        "workflows",
        "methods",
        "datasets",
        "config",
        "slurm",
        "bench3r",
        "environment.yml",
    ):
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    (folder / "config" / "sweep.yaml").write_text(
        yaml.safe_dump({**CONFIG, "name": name, **changes})
    )
    profile = yaml.safe_load((folder / "slurm" / "config.yaml").read_text())
    profile |= FASTER
    for rule in ("prepare", "train", "predict", "profile", "score", "collect", "report"):
        resources = profile["set-resources"].get(rule, {})
        asks = (
            {"gpu": 1} if rule in ("train", "predict", "profile") else {}
        )  # device: cpu asks for none by itself
        profile["set-resources"][rule] = {
            **resources,
            "mem_mb": 3000,
            "runtime": 10,
            "cpus_per_task": 1,
            **asks,
        }
    profile["default-resources"] |= {"mem_mb": 3000, "runtime": 10, "cpus_per_task": 1}
    (folder / "slurm" / "config.yaml").write_text(yaml.safe_dump(profile))
    return folder


def environment(cluster, folder: Path) -> dict[str, str]:
    path = os.pathsep.join(
        [
            str(cluster.base / "bin"),
            str(Path(shutil.which("snakemake") or "").parent),
            cluster.environment["PATH"],
        ]
    )
    return {
        **cluster.environment,
        "PATH": path,
        "PYTHONPATH": str(folder),
        "BENCH3R_ROOT": str(folder),
    }


def jobs(cluster) -> dict[str, dict[str, str]]:
    """What SLURM remembers of its jobs, by id."""
    text = cluster.run("scontrol", "show", "job", "-o")
    rows = [
        dict(w.split("=", 1) for w in line.split() if "=" in w)
        for line in text.splitlines()
        if line.startswith("JobId=")
    ]
    return {r["JobId"]: r for r in rows}


def asks_for_gpu(job: dict[str, str]) -> bool:
    return any("gpu" in value for key, value in job.items() if key.startswith("Tres"))


@pytest.mark.slow
def test_the_sweep_on_a_real_slurm(cluster, tmp_path):
    folder = project(tmp_path, "sweep")
    done = subprocess.run(
        LITERAL,
        cwd=folder,
        env=environment(cluster, folder),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    rows = pd.read_parquet(folder / "results/sweep/records.parquet")
    assert set(rows["status"]) == {"ok"}
    assert "VGGT" in (folder / "reports/sweep/index.md").read_text()
    known = jobs(cluster)
    seen = set()
    for file in sorted((folder / "results/sweep/predict").glob("*.jsonl")):
        for line in file.read_text().splitlines():
            where = json.loads(line)["provenance"]
            job = known[where["slurm_job"]]
            assert where["slurm_node"] == job["NodeList"] in ("n1", "n2")
            assert where["visible_gpus"] in ("0", "1"), "the job's GPU"
            assert asks_for_gpu(job)
            assert where["cpus"] == int(job["NumCPUs"]) == 1
            seen.add(where["slurm_job"])
    assert len(seen) == 3  # one job per cell
    scored = [j for j in known.values() if "score" in j.get("Comment", "")]
    assert len(scored) == 3
    assert not any(asks_for_gpu(j) for j in scored)
    again = subprocess.run(
        LITERAL,
        cwd=folder,
        env=environment(cluster, folder),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.slow
def test_gres_in_place_of_gpus_and_predictions_as_a_job_array(cluster, tmp_path):
    """The switches that slurm/config.yaml shows in comments.

    The array is of jobs that become ready at one instant: two cells that wait for the data set alone, none for a training.
    """
    methods = {"vggt": {}, "oracle": {}}
    folder = project(
        tmp_path,
        "gres",
        methods=methods,
        profile={"frames": [3], "warmup": 1, "repeats": 1, "scenes": 1},
    )
    profile = yaml.safe_load((folder / "slurm" / "config.yaml").read_text())
    for rule in ("train", "predict", "profile"):
        profile["set-resources"][rule] |= {"gpu": 0, "gres": "gpu:1"}
    profile["slurm-array-jobs"] = "predict"
    (folder / "slurm" / "config.yaml").write_text(yaml.safe_dump(profile))
    before = set(jobs(cluster))
    done = subprocess.run(
        LITERAL,
        cwd=folder,
        env=environment(cluster, folder),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert set(pd.read_parquet(folder / "results/gres/records.parquet")["status"]) == {"ok"}
    known = {k: v for k, v in jobs(cluster).items() if k not in before}
    predicted = [
        json.loads(line)["provenance"]
        for file in (folder / "results/gres/predict").glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert len(predicted) == 4
    for where in predicted:
        assert "gres" in "".join(
            v for k, v in known[where["slurm_job"]].items() if k.startswith("Tres")
        )
        assert where["visible_gpus"] in ("0", "1")
    arrays = [j for j in known.values() if "ArrayTaskId" in j]
    assert len(arrays) == 2, [j.get("Comment") for j in known.values()]


@pytest.mark.slow
def test_a_cancelled_job_is_run_again(cluster, tmp_path):
    """scancel while a cell is predicted: it is submitted again, the other cells finish, the table is whole."""
    folder = project(
        tmp_path,
        "cancelled",
        methods={"vggt": {}, "oracle": {}},
        profile={"frames": [3], "repeats": 1},
    )
    log = (tmp_path / "log").open("w")
    running = subprocess.Popen(
        LITERAL, cwd=folder, env=environment(cluster, folder), stdout=log, stderr=log
    )
    try:
        cancelled = None
        for _ in range(600):
            time.sleep(0.2)
            if running.poll() is not None:
                break
            queued = cluster.run("squeue", "-h", "-t", "R", "-o", "%i %k").splitlines()
            predicting = [q.split()[0] for q in queued if "predict" in q]
            if predicting and cancelled is None:
                cancelled = predicting[0]
                cluster.run("scancel", cancelled)
        assert running.wait(timeout=600) == 0, (tmp_path / "log").read_text()[-5000:]
    finally:
        running.kill()
        log.close()
    assert cancelled is not None, "no job was caught while it ran"
    assert jobs(cluster)[cancelled]["JobState"] in ("CANCELLED", "FAILED")
    rows = pd.read_parquet(folder / "results/cancelled/records.parquet")
    assert set(rows["status"]) == {"ok"}


@pytest.mark.slow
def test_jobs_that_slurm_ends_leave_holes_and_harm_no_other(cluster, tmp_path):
    """One job runs into its time limit, one over its memory: the others finish, and the report names both holes."""
    methods = {"oracle": {}, "sleepy": {}, "hungry": {}}
    folder = project(
        tmp_path,
        "ended",
        methods=methods,
        limits={"memory_gb": 100},
        profile={"frames": [3], "repeats": 1},
    )
    for name, line in (
        ("sleepy", "time.sleep(900)"),
        ("hungry", "kept = b'x' * 4_000_000_000; time.sleep(15)"),
    ):
        write_oracle_that(folder, name, line)
    profile = yaml.safe_load((folder / "slurm" / "config.yaml").read_text())
    profile["set-resources"]["predict"] |= {"runtime": 1}
    profile["retries"] = 0
    (folder / "slurm" / "config.yaml").write_text(yaml.safe_dump(profile))
    done = subprocess.run(
        LITERAL,
        cwd=folder,
        env=environment(cluster, folder),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode != 0
    ended = {j["JobState"] for j in jobs(cluster).values()}
    assert "TIMEOUT" in ended, ended
    rows = pd.read_parquet(folder / "results/ended/records.parquet")
    state = rows.groupby("method")["status"].agg(set).to_dict()
    assert state["oracle"] == {"ok"}
    assert state["sleepy"] == {"error"}
    assert state["hungry"] == {"error"}
    assert "the job was lost or has not run" in (folder / "reports/ended/index.md").read_text()


@pytest.mark.slow
def test_a_drained_node_takes_no_more_jobs(cluster, tmp_path):
    """A node is drained while the sweep runs: what runs there ends, the rest goes to the other node, nothing is lost."""
    folder = project(
        tmp_path,
        "drained",
        methods={"vggt": {}, "oracle": {}},
        profile={"frames": [3], "repeats": 1},
    )
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            LITERAL, cwd=folder, env=environment(cluster, folder), stdout=log, stderr=log
        )
        try:
            for _ in range(300):
                time.sleep(0.2)
                if (
                    cluster.run("squeue", "-h", "-t", "R", "-o", "%i").strip()
                    or running.poll() is not None
                ):
                    break
            drained_at = time.time()
            cluster.run("scontrol", "update", "nodename=n2", "state=drain", "reason=test")
            assert running.wait(timeout=600) == 0, (tmp_path / "log").read_text()[-5000:]
        finally:
            running.kill()
            cluster.run("scontrol", "update", "nodename=n2", "state=resume")
    rows = pd.read_parquet(folder / "results/drained/records.parquet")
    assert set(rows["status"]) == {"ok"}
    for job in jobs(cluster).values():
        started = (
            time.mktime(time.strptime(job["StartTime"], "%Y-%m-%dT%H:%M:%S"))
            if job["StartTime"] != "Unknown"
            else 0
        )
        assert not (started > drained_at + 2 and job["NodeList"] == "n2"), job
