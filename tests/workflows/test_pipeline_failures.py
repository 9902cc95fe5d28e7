"""What fails in a run is missing with its reason, harms nothing else, and is made again."""

from __future__ import annotations

import json

from tests.helpers.project import outputs, text_of
from tests.workflows.conftest import CONFIG

METHOD = '''"""Misbehaves."""
from bench3r.api.method import Method


class Misbehaves(Method):
    name = "{name}"
    label = "{name}"
    kind = "control"
    conditions_on = ("ground_truth",)

    def build(self, context):
        def predict(images, ground_truth):
            import torch

            from bench3r.api.reconstruction import Reconstruction

            s, (h, w) = images.shape[1], images.shape[-2:]
            one = torch.ones(1, s, h, w)
            poses = torch.eye(4)[:3].expand(1, s, 3, 4)
            out = Reconstruction(poses, torch.eye(3).expand(1, s, 3, 3) * 60, one, one.clone())
            {line}
            return out

        return predict
'''
SECOND_FAILS = "assert not ground_truth.name.endswith('1_00'), 'the second scene is too much'"
UNSUPPORTED = (
    "from bench3r.api.errors import Unsupported; raise Unsupported('needs a larger machine')"
)
WORSE = {
    "returns_nan": "out.depth[:] = float('nan')",
    "wrong_shape": "out.depth = out.depth[:, :1]",
    "hangs": "import time; time.sleep(1000)",
    "eats_memory": "kept = [torch.ones(200_000_000) for i in range(4)]; out.depth *= kept[0][0]",
    "dies": "import os; os.kill(os.getpid(), 9)",
    "unsupported_here": UNSUPPORTED,
}
EXPECTED = {
    "returns_nan": "invalid",
    "wrong_shape": "invalid",
    "hangs": "timeout",
    "eats_memory": "oom",
    "dies": "oom",
    "unsupported_here": "unsupported",
}


def add_method(project, name: str, line: str) -> None:
    path = project.folder / "methods" / f"{name}.py"
    path.write_text(METHOD.format(name=name, line=line))


def test_a_new_file_adds_its_rows_and_its_failure_is_a_missing_result(project):
    add_method(project, "raises", SECOND_FAILS)
    project.write({**CONFIG, "methods": {**CONFIG["methods"], "raises": {}}})
    done = project.snakemake()
    assert done.returncode == 0
    predicted = {m for m in outputs(done) if "/predict/" in m}
    assert len(predicted) == 2
    assert all("raises" in m for m in predicted)
    rows = project.table().query("method == 'raises'").drop_duplicates(["dataset", "scene"])
    state = rows.set_index(["dataset", "scene"])["status"]
    assert state["scannet"].to_dict() == {"scene9000_00": "ok", "scene9001_00": "error"}
    text = project.index()
    assert "the second scene is too much" in text
    assert "3/4" in text


def test_misbehaving_methods_become_typed_records_and_harm_no_other(project):
    for name, line in WORSE.items():
        add_method(project, name, line)
    changed = {
        "methods": {"oracle": {}, **{name: {} for name in WORSE}},
        "datasets": {"scannet": CONFIG["datasets"]["scannet"]},
        "limits": {"seconds_per_scene": 15, "memory_gb": 1.6},
    }
    project.write({**CONFIG, **changed})
    done = project.snakemake()
    assert done.returncode == 0, text_of(done)[-4000:]
    state = project.table().groupby("method")["status"].agg(set).to_dict()
    assert state.pop("oracle") == {"ok"}
    assert state == {name: {status} for name, status in EXPECTED.items()}
    text = project.index()
    assert "needs a larger machine" in text
    assert "NaN or infinity" in text


def test_a_killed_cell_resumes_where_it_was(project):
    """A record of one scene is there; predicting again keeps it and adds the other."""
    project.snakemake()
    finished = project.file("predict", "oracle*scannet*.jsonl")
    folder = finished.with_suffix("")
    first, second = project.rows(finished)
    project.unfinish(finished)
    (folder / "progress.jsonl").write_text(json.dumps(first) + "\n" + '{"cell": "half a li')
    kept = (folder / first["prediction"]).stat().st_mtime_ns
    (folder / second["prediction"]).unlink()
    assert project.snakemake().returncode == 0
    again = project.rows(finished)
    assert again[0] == first
    assert (folder / first["prediction"]).stat().st_mtime_ns == kept
    assert again[1]["prediction_sha256"] == second["prediction_sha256"], "the result is the same"


def test_a_truncated_prediction_is_an_error_of_that_scene_alone(project):
    project.snakemake()
    scored = project.file("score", "oracle*scannet*.jsonl")
    prediction = project.file("predict", "oracle*scannet*/scene9000*.npz")
    whole = prediction.read_bytes()
    prediction.write_bytes(whole[: len(whole) // 2])
    project.unfinish(scored)
    assert project.snakemake().returncode == 0
    state = {row["scene"]: row for row in project.rows(scored)}
    assert state["scene9000_00"]["status"] == "error"
    assert "damaged .npz" in state["scene9000_00"]["reason"]
    assert state["scene9001_00"]["status"] == "ok"


def test_a_lost_job_is_a_missing_result_with_its_reason(project):
    assert project.snakemake().returncode == 0
    project.unfinish(project.file("predict", "oracle*scannet*.jsonl"))
    for stage in ("collect", "report"):  # what the workflow does when jobs were lost
        project.bench3r(stage, "--plan", ".bench3r/small.json")
    assert "the job was lost or has not run" in project.index()
    rows = project.table().query("method == 'oracle'")
    state = rows.groupby("dataset")["status"].agg(set).to_dict()
    assert state == {"scannet": {"error"}, "mipnerf360": {"ok"}}
    assert project.snakemake().returncode == 0
    assert set(project.table()["status"]) == {"ok"}
