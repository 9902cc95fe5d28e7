"""The literal command on a real SLURM: jobs get their GPUs and CPUs, records name the worker."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.project import text_of
from tests.helpers.slurm_sweep import ON_GPUS, Sweep, asks_for, jobs

ONE_CALL = {"frames": [3], "warmup": 1, "repeats": 1, "scenes": 1}


@pytest.mark.slow
def test_the_sweep_on_a_real_slurm(cluster, tmp_path):
    sweep = Sweep(cluster, tmp_path, "sweep")
    done = sweep.run()
    assert done.returncode == 0, text_of(done)[-9000:]
    assert set(sweep.table()["status"]) == {"ok"}
    assert "VGGT" in sweep.index.read_text()
    known = jobs(cluster)
    seen = set()
    for where in sweep.predicted():
        job = known[where["slurm_job"]]
        assert where["slurm_node"] == job["NodeList"] in ("n1", "n2")
        assert where["visible_gpus"] in ("0", "1"), "the job's GPU"
        assert asks_for("gpu", job)
        assert where["cpus"] == int(job["NumCPUs"]) == 1
        seen.add(where["slurm_job"])
    assert len(seen) == 3, "one job per cell"
    scored = [j for j in known.values() if "score" in j.get("Comment", "")]
    assert len(scored) == 3
    assert not any(asks_for("gpu", j) for j in scored)
    again = sweep.run(timeout=300)
    assert again.returncode == 0
    assert "Nothing to be done" in text_of(again)


def gres_and_arrays(profile: dict[str, Any]) -> None:
    for rule in ON_GPUS:
        profile["set-resources"][rule] |= {"gpu": 0, "gres": "gpu:1"}
    profile["slurm-array-jobs"] = "predict"


@pytest.mark.slow
def test_gres_in_place_of_gpus_and_predictions_as_a_job_array(cluster, tmp_path):
    """The switches that slurm/config.yaml shows in comments.

    The array is of jobs that become ready at one instant: two cells that wait for the data set
    alone, none for a training.
    """
    methods = {"vggt": {}, "oracle": {}}
    sweep = Sweep(cluster, tmp_path, "gres", methods=methods, profile=ONE_CALL)
    sweep.change_profile(gres_and_arrays)
    before = set(jobs(cluster))
    done = sweep.run()
    assert done.returncode == 0, text_of(done)[-9000:]
    assert set(sweep.table()["status"]) == {"ok"}
    known = {k: v for k, v in jobs(cluster).items() if k not in before}
    predicted = list(sweep.predicted())
    assert len(predicted) == 4
    for where in predicted:
        assert asks_for("gres", known[where["slurm_job"]])
        assert where["visible_gpus"] in ("0", "1")
    arrays = [j for j in known.values() if "ArrayTaskId" in j]
    assert len(arrays) == 2, [j.get("Comment") for j in known.values()]
