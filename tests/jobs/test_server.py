"""Jobs that a server forks are what they would be alone: results, exit codes, limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml

from bench3r.files import read_jsonl
from bench3r.jobs import server
from tests.conftest import ROOT
from tests.helpers.plugins import write_oracle_that


@pytest.fixture
def running(tmp_path, monkeypatch):
    """A server for the project in ``tmp_path``; the environment holds its address."""
    monkeypatch.delenv(server.ADDRESS, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("BENCH3R_ROOT", str(tmp_path))
    process = server.start()
    assert process is not None
    address = os.environ[server.ADDRESS]
    monkeypatch.setenv(server.ADDRESS, address)
    for _ in range(300):
        if os.path.exists(address):
            break
        time.sleep(0.1)
    yield process
    process.kill()
    process.wait()


def bench3r(
    folder, *arguments: str, served: bool = True, **changes: str
) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(folder), "BENCH3R_ROOT": str(folder), **changes}
    if not served:
        environment.pop(server.ADDRESS)
    command = [sys.executable, "-m", "bench3r", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def planned(tmp_path):
    """A folder with a plan, a method that dies and one that hangs among its methods."""
    for name in ("methods", "datasets", "bench3r"):
        (tmp_path / name).mkdir()
        for path in (ROOT / name).iterdir():
            if path.name != "__pycache__":
                (tmp_path / name / path.name).symlink_to(path)
    write_oracle_that(tmp_path, "hangs", "time.sleep(900)")
    write_oracle_that(tmp_path, "dies", "import os; os.kill(os.getpid(), 9)")
    config = {
        "name": "served",
        "methods": {"vggt": {}, "hangs": {}, "dies": {}},
        "frames": [3],
        "protocols": ["depth_median"],
        "datasets": {"scannet": {"root": "procedural", "scenes": 2, "views": 4}},
        "limits": {"seconds_per_scene": 3},
    }
    (tmp_path / "served.yaml").write_text(yaml.safe_dump(config))
    done = bench3r(
        tmp_path,
        "plan",
        "--config",
        "served.yaml",
        "--out",
        "plan.json",
        **{server.ADDRESS: "/nowhere"},
    )
    assert done.returncode == 0, done.stderr
    return tmp_path, json.loads((tmp_path / "plan.json").read_text())


def cell(plan, method):
    return next(c["id"] for c in plan["cells"] if c["method"] == method)


@pytest.mark.slow
def test_a_served_job_is_what_it_is_alone(running, planned):
    folder, plan = planned
    data, name = plan["datasets"][0]["id"], cell(plan, "vggt")
    assert bench3r(folder, "prepare", data, "--plan", "plan.json").returncode == 0
    values = []
    for served in (True, False):
        out = f"results/served/predict/{name}.jsonl" if served else "alone.jsonl"
        begin = time.monotonic()
        done = bench3r(folder, "predict", name, "--plan", "plan.json", "--out", out, served=served)
        assert done.returncode == 0, done.stderr
        values.append((read_jsonl(folder / out), time.monotonic() - begin))
    for a, b in zip(values[0][0], values[1][0], strict=True):
        assert a["status"] == b["status"] == "ok"
        assert a["prediction_sha256"] == b["prediction_sha256"]
    assert bench3r(folder, "score", name, "--plan", "plan.json").returncode == 0
    assert running.poll() is None
    wrong = bench3r(folder, "predict", "no-such-cell", "--plan", "plan.json")
    assert wrong.returncode == 2
    assert "no-such-cell" in wrong.stderr
    assert (
        wrong.stderr
        == bench3r(folder, "predict", "no-such-cell", "--plan", "plan.json", served=False).stderr
    )


@pytest.mark.slow
def test_limits_hold_and_a_death_harms_nobody(running, planned):
    folder, plan = planned
    assert (
        bench3r(folder, "prepare", plan["datasets"][0]["id"], "--plan", "plan.json").returncode == 0
    )
    for method, status in (("hangs", "timeout"), ("dies", "oom")):
        done = bench3r(
            folder, "predict", cell(plan, method), "--plan", "plan.json", "--out", f"{method}.jsonl"
        )
        assert done.returncode == 0, done.stderr
        assert {r["status"] for r in read_jsonl(folder / f"{method}.jsonl")} == {status}
    assert running.poll() is None
    assert not psutil.Process(running.pid).children(recursive=True)


@pytest.mark.slow
def test_a_job_ends_with_the_command_that_asked_for_it(running, planned):
    folder, plan = planned
    assert (
        bench3r(folder, "prepare", plan["datasets"][0]["id"], "--plan", "plan.json").returncode == 0
    )
    environment = {**os.environ, "PYTHONPATH": str(folder), "BENCH3R_ROOT": str(folder)}
    command = [
        sys.executable,
        "-m",
        "bench3r",
        "predict",
        cell(plan, "hangs"),
        "--plan",
        "plan.json",
    ]
    asker = subprocess.Popen(command, cwd=folder, env=environment)
    below = psutil.Process(running.pid)
    for _ in range(100):
        time.sleep(0.1)
        if len(below.children(recursive=True)) == 2:  # the job and its worker
            break
    assert len(below.children(recursive=True)) == 2
    asker.send_signal(signal.SIGKILL)
    asker.wait()
    for _ in range(50):
        time.sleep(0.1)
        if not below.children(recursive=True):
            break
    assert not below.children(recursive=True)


def test_a_server_of_other_sources_is_not_used(running, planned):
    folder, plan = planned
    below = psutil.Process(running.pid)
    command = [
        sys.executable,
        "-m",
        "bench3r",
        "prepare",
        plan["datasets"][0]["id"],
        "--plan",
        "plan.json",
    ]
    done = subprocess.Popen(command, cwd=folder, env={**os.environ, "BENCH3R_ROOT": f"{folder}/."})
    while done.poll() is None:
        time.sleep(0.01)
        assert not below.children()
    assert done.returncode == 0


def test_without_a_server_a_command_runs_by_itself(planned):
    folder, plan = planned
    done = bench3r(
        folder,
        "prepare",
        plan["datasets"][0]["id"],
        "--plan",
        "plan.json",
        **{server.ADDRESS: "/no/such/socket"},
    )
    assert done.returncode == 0, done.stderr


MANY = {
    "name": "many",
    "methods": {
        "vggt": {},
        "trivial": {},
        "oracle": {},
        "fastvggt": {"ratio": [0.1 * i for i in range(1, 10)]},
    },
    "frames": [3],
    "protocols": ["depth_median"],
    "datasets": {"scannet": {"root": "procedural", "scenes": 1, "views": 4}},
    "ablations": {},
    "profile": {"frames": [3], "warmup": 1, "repeats": 1, "scenes": 1},
}


def served_at_once(process: subprocess.Popen) -> int:
    """The most jobs that a server below ``process`` had at one time, until that ends."""
    most = 0
    while process.poll() is None:
        time.sleep(0.05)
        for child in psutil.Process(process.pid).children():
            try:
                if server.SERVE in child.cmdline():
                    most = max(most, len(child.children()))
            except psutil.Error:
                continue
    return most


def processes_of(folder) -> list[psutil.Process]:
    """Processes whose command names ``folder``."""
    running = psutil.process_iter(["cmdline"])
    return [p for p in running if str(folder) in " ".join(p.info["cmdline"] or [])]


@pytest.mark.slow
def test_a_run_of_many_cells_uses_one_and_leaves_none(planned, monkeypatch):
    """Through Snakemake: jobs are children of a server, which is gone with Snakemake."""
    folder, _ = planned
    monkeypatch.delenv(server.ADDRESS, raising=False)
    for name in ("workflows", "Snakefile", "environment.yml", "config"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "reports").mkdir()
    (folder / "many.yaml").write_text(yaml.safe_dump(MANY))
    environment = {**os.environ, "PYTHONPATH": str(folder), "BENCH3R_ROOT": str(folder)}
    options = ["--cores", "2", "--configfile", "many.yaml", "--until", "score"]
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert served_at_once(process) >= 1
    assert process.returncode == 0, process.stderr.read()[-3000:]
    scored = list((folder / "results/many/score").glob("*.jsonl"))
    assert len(scored) == 12
    assert all(read_jsonl(path) for path in scored)
    time.sleep(1.5)
    assert not processes_of(folder)
