"""Jobs that SLURM cancels, ends or moves: what can be made again is, the rest is named."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.helpers.plugins import write_oracle_that
from tests.helpers.slurm_sweep import TWO_CELLS, Sweep, jobs, wait_for


@pytest.mark.slow
def test_a_cancelled_job_is_run_again(cluster, tmp_path):
    """scancel while a cell is predicted: it is submitted again, and the table is whole."""
    sweep = Sweep(cluster, tmp_path, "cancelled", **TWO_CELLS)
    cancelled: list[str] = []

    def cancel() -> bool:
        queued = cluster.run("squeue", "-h", "-t", "R", "-o", "%i %k").splitlines()
        predicting = [q.split()[0] for q in queued if "predict" in q]
        for job in predicting[:1]:
            cluster.run("scancel", job)
            cancelled.append(job)
        return bool(cancelled)

    running = sweep.start()
    try:
        assert wait_for(cancel, running, 600), "no job was caught while it ran"
        assert running.wait(timeout=600) == 0, sweep.log.read_text()[-5000:]
    finally:
        running.kill()
    assert jobs(cluster)[cancelled[0]]["JobState"] in ("CANCELLED", "FAILED")
    assert set(sweep.table()["status"]) == {"ok"}


def one_minute(profile: dict[str, Any]) -> None:
    profile["set-resources"]["predict"] |= {"runtime": 1}
    profile["retries"] = 0


@pytest.mark.slow
def test_jobs_that_slurm_ends_are_missing_results_and_harm_no_other(cluster, tmp_path):
    """One job exceeds its time limit, one its memory: the others finish, the report names both."""
    changes = {
        "methods": {"oracle": {}, "sleepy": {}, "hungry": {}},
        "limits": {"memory_gb": 100},
        "profile": {"frames": [3], "repeats": 1},
    }
    sweep = Sweep(cluster, tmp_path, "ended", **changes)
    write_oracle_that(sweep.folder, "sleepy", "time.sleep(900)")
    hungry = "kept = b'x' * 4_000_000_000; time.sleep(15)"
    write_oracle_that(sweep.folder, "hungry", hungry)
    sweep.change_profile(one_minute)
    assert sweep.run().returncode != 0
    ended = {j["JobState"] for j in jobs(cluster).values()}
    assert "TIMEOUT" in ended, ended
    state = sweep.table().groupby("method")["status"].agg(set).to_dict()
    assert state["oracle"] == {"ok"}
    assert state["sleepy"] == {"error"}
    assert state["hungry"] == {"error"}
    assert "the job was lost or has not run" in sweep.index.read_text()


def started(job: dict[str, str]) -> float:
    """When a job started, in seconds; 0 for one that did not."""
    if job["StartTime"] == "Unknown":
        return 0.0
    return time.mktime(time.strptime(job["StartTime"], "%Y-%m-%dT%H:%M:%S"))


@pytest.mark.slow
def test_a_drained_node_takes_no_more_jobs(cluster, tmp_path):
    """What runs on a node ends there when it is drained; the rest goes to the other node."""
    sweep = Sweep(cluster, tmp_path, "drained", **TWO_CELLS)
    running = sweep.start()
    try:
        busy = ("squeue", "-h", "-t", "R", "-o", "%i")
        wait_for(lambda: bool(cluster.run(*busy).strip()), running, 300)
        drained_at = time.time()
        cluster.run("scontrol", "update", "nodename=n2", "state=drain", "reason=test")
        assert running.wait(timeout=600) == 0, sweep.log.read_text()[-5000:]
    finally:
        running.kill()
        cluster.run("scontrol", "update", "nodename=n2", "state=resume")
    assert set(sweep.table()["status"]) == {"ok"}
    for job in jobs(cluster).values():
        late = started(job) > drained_at + 2
        assert not (late and job["NodeList"] == "n2"), job
