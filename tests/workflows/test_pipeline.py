"""The workflow end to end in a copy of the repository: results, resume, reruns, new methods, faults."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT

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

RAISES = '''"""Raises on the second scene."""
from bench3r.api.method import Method


class Raises(Method):
    name = "raises"
    label = "raises"
    kind = "control"
    conditions_on = ("ground_truth",)

    def build(self, context):
        def predict(images, ground_truth):
            if ground_truth.name.endswith("1_00"):
                raise RuntimeError("the second scene is too much")
            from bench3r.api.reconstruction import Reconstruction
            import torch

            s, (h, w) = images.shape[1], images.shape[-2:]
            return Reconstruction(torch.eye(4)[:3].expand(1, s, 3, 4), torch.eye(3).expand(1, s, 3, 3) * 60,
                                  torch.ones(1, s, h, w), torch.ones(1, s, h, w))

        return predict
'''
WORSE = {
    "returns_nan": "out.depth[:] = float('nan')",
    "wrong_shape": "out.depth = out.depth[:, :1]",
    "hangs": "import time; time.sleep(1000)",
    "eats_memory": "kept = [torch.ones(200_000_000) for i in range(4)]; out.depth *= kept[0][0]",
    "dies": "import os; os.kill(os.getpid(), 9)",
    "unsupported_here": "from bench3r.api.errors import Unsupported; raise Unsupported('needs a larger machine')",
}
EXPECTED = {
    "returns_nan": "invalid",
    "wrong_shape": "invalid",
    "hangs": "timeout",
    "eats_memory": "oom",
    "dies": "oom",
    "unsupported_here": "unsupported",
}


def misbehaving(name: str, line: str) -> str:
    text = RAISES.replace("raises", name).replace("class Raises", "class Worse")
    text = text.replace("            return Reconstruction(", "            out = Reconstruction(")
    text = text.replace(
        '            if scene is not None and scene.name.endswith("1_00"):\n                raise RuntimeError("the second scene is too much")\n',
        "",
    )
    return text.replace(
        "torch.ones(1, s, h, w))\n",
        f"torch.ones(1, s, h, w))\n            {line}\n            return out\n",
        1,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the repository that has run the small configuration once."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("bench3r", "methods", "datasets", "workflows", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "reports").mkdir()
    write(folder, CONFIG)
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def write(folder: Path, config: dict) -> None:
    (folder / "config" / "small.yaml").write_text(yaml.safe_dump(config))


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "BENCH3R_ROOT": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "2",
        "--configfile",
        "config/small.yaml",
        "--keep-going",
        *arguments,
    ]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )


def table(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "results/small/records.parquet")


def unfinish(folder: Path, output: Path) -> None:
    """Take away ``output`` and all that follows from it, as if its job had not ended."""
    score = folder / "results/small/score" / output.name
    for path in (
        output,
        score,
        folder / "results/small/records.parquet",
        folder / "reports/small/index.md",
    ):
        path.unlink(missing_ok=True)


def jobs(done: subprocess.CompletedProcess) -> set[str]:
    """Outputs that a run made."""
    text = done.stdout + done.stderr
    lines = [
        line.split("output:")[1] for line in text.splitlines() if line.strip().startswith("output:")
    ]
    return {output.strip() for line in lines for output in line.split(",")}


def test_every_scene_has_every_metric(project):
    rows = table(project)
    assert set(rows["status"]) == {"ok"}
    assert rows.groupby(["method", "dataset"])["scene"].nunique().eq(2).all()
    assert rows[rows["metric"] == "chamfer_norm"]["value"].notna().all()
    mean = rows[rows["metric"] == "absrel"].groupby("method")["value"].mean()
    assert 0.03 < mean["oracle"] < 0.05 < mean["vggt"]


def test_table_cells_trace_back_to_records(project):
    raw = pd.read_csv(project / "reports/small/tables/table2.csv")
    shown = raw.set_index("method")["pi3_pointmap/chamfer_norm/mean"]
    for method in ("vggt", "oracle"):
        values = []
        for path in (project / "results/small/score").glob(f"{method}.*.jsonl"):
            for row in map(json.loads, path.read_text().splitlines()):
                if row["protocol"] == "pi3_pointmap":
                    values.append(row["metrics"]["chamfer_norm"])
        assert len(values) == 4
        assert shown[method] == pytest.approx(sum(values) / 4)
    profile = json.loads(next((project / "results/small/profile").glob("vggt.*.json")).read_text())
    assert raw.set_index("method").loc["vggt", "flops"] == profile["flops"] == 2 * profile["macs"]
    assert profile["provenance"]["versions"]["torch"]


def test_the_report_says_what_it_stands_on(project):
    text = (project / "reports/small/index.md").read_text()
    for part in (
        "PROCEDURAL",
        "Scale `tiny`",
        "base weights `train`",
        "4/4",
        "reported by SpatialMoR",
    ):
        assert part in text, part
    for name in ("table2.tex", "table2.csv", "detail.md"):
        assert (project / "reports/small/tables" / name).stat().st_size > 100
    assert (project / "reports/small/figures/panel_scannet.png").stat().st_size > 5000


def test_snakemakes_own_report_has_captions_and_categories(project, tmp_path):
    done = snakemake(project, "--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    text = (tmp_path / "report.html").read_text()
    for part in (
        "Everything on one page",
        "Figures",
        "Tables",
        "Raw values behind",
        "Drawn from the collected",
        "table2.csv",
    ):
        assert part in text, part


def test_running_again_does_nothing(project):
    done = snakemake(project)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_editing_a_method_reruns_its_cells_alone(project):
    path = project / "methods" / "oracle.py"
    path.write_text(path.read_text() + "\n# edited\n")
    made = jobs(snakemake(project))
    predicted = {m for m in made if "/predict/" in m}
    assert len(predicted) == 2
    assert all("oracle" in m for m in predicted)
    assert not any("/train/" in m or "/data/" in m or "/profile/" in m for m in made)
    assert "reports/small/index.md" in made
    assert "Nothing to be done" in "".join((d := snakemake(project)).stdout + d.stderr)


def test_a_new_file_adds_its_rows_and_its_failure_is_a_hole(project):
    (project / "methods" / "raises.py").write_text(RAISES)
    write(project, {**CONFIG, "methods": {**CONFIG["methods"], "raises": {}}})
    done = snakemake(project)
    assert done.returncode == 0
    predicted = {m for m in jobs(done) if "/predict/" in m}
    assert len(predicted) == 2
    assert all("raises" in m for m in predicted)
    rows = table(project).query("method == 'raises'").drop_duplicates(["dataset", "scene"])
    state = rows.set_index(["dataset", "scene"])["status"]
    assert state["scannet"].to_dict() == {"scene9000_00": "ok", "scene9001_00": "error"}
    text = (project / "reports/small/index.md").read_text()
    assert "the second scene is too much" in text
    assert "3/4" in text


def test_misbehaving_methods_become_typed_holes_and_harm_no_other(project):
    for name, line in WORSE.items():
        (project / "methods" / f"{name}.py").write_text(misbehaving(name, line))
    datasets = {"scannet": CONFIG["datasets"]["scannet"]}
    limits = {"seconds_per_scene": 15, "memory_gb": 1.6}
    methods = {"oracle": {}, **{name: {} for name in WORSE}}
    write(project, {**CONFIG, "methods": methods, "datasets": datasets, "limits": limits})
    done = snakemake(project)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    state = table(project).groupby("method")["status"].agg(set).to_dict()
    assert state.pop("oracle") == {"ok"}
    assert state == {name: {status} for name, status in EXPECTED.items()}
    text = (project / "reports/small/index.md").read_text()
    assert "needs a larger machine" in text
    assert "NaN or infinity" in text


def test_a_killed_cell_resumes_where_it_was(project):
    """A record of one scene is there; predicting again keeps it and adds the other."""
    write(project, CONFIG)
    snakemake(project)
    finished = next((project / "results/small/predict").glob("oracle*scannet*.jsonl"))
    folder = finished.with_suffix("")
    rows = [json.loads(line) for line in finished.read_text().splitlines()]
    unfinish(project, finished)
    (folder / "progress.jsonl").write_text(json.dumps(rows[0]) + "\n" + '{"cell": "half a li')
    kept = (folder / rows[0]["prediction"]).stat().st_mtime_ns
    (folder / rows[1]["prediction"]).unlink()
    assert snakemake(project).returncode == 0
    again = [json.loads(line) for line in finished.read_text().splitlines()]
    assert again[0] == rows[0]
    assert (folder / rows[0]["prediction"]).stat().st_mtime_ns == kept
    assert (
        again[1]["prediction_sha256"] == rows[1]["prediction_sha256"]
    )  # and the result is the same


def test_a_truncated_prediction_is_an_error_of_that_scene_alone(project):
    write(project, CONFIG)
    snakemake(project)
    scored = next((project / "results/small/score").glob("oracle*scannet*.jsonl"))
    prediction = next((project / "results/small/predict").glob("oracle*scannet*/scene9000*.npz"))
    whole = prediction.read_bytes()
    prediction.write_bytes(whole[: len(whole) // 2])
    unfinish(project, scored)
    assert snakemake(project).returncode == 0
    state = {r["scene"]: r for r in map(json.loads, scored.read_text().splitlines())}
    assert state["scene9000_00"]["status"] == "error"
    assert "damaged .npz" in state["scene9000_00"]["reason"]
    assert state["scene9001_00"]["status"] == "ok"


def test_a_lost_job_is_a_hole_with_its_reason(project):
    write(project, CONFIG)
    assert snakemake(project).returncode == 0
    unfinish(project, next((project / "results/small/predict").glob("oracle*scannet*.jsonl")))
    environment = {**os.environ, "PYTHONPATH": str(project), "BENCH3R_ROOT": str(project)}
    for stage in ("collect", "report"):  # what the workflow does when jobs were lost
        command = [sys.executable, "-m", "bench3r", stage, "--plan", ".bench3r/small.json"]
        subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
    text = (project / "reports/small/index.md").read_text()
    assert "the job was lost or has not run" in text
    state = (
        table(project).query("method == 'oracle'").groupby("dataset")["status"].agg(set).to_dict()
    )
    assert state == {"scannet": {"error"}, "mipnerf360": {"ok"}}
    assert snakemake(project).returncode == 0
    assert set(table(project)["status"]) == {"ok"}


def test_planning_mistakes_stop_the_workflow_with_one_message(project):
    write(project, {**CONFIG, "methods": {"vgtt": {}}})
    done = snakemake(project, "-n")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "did you mean 'vggt'" in text
    write(project, CONFIG)


def test_the_slurm_command_plans_from_the_root():
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "all",
        "--profile",
        "slurm",
        "-n",
        "--quiet",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_missing_data_and_weights_are_listed_together_before_anything_starts(project):
    """As for config/full.yaml on a machine without data: one message names all of them; a dry run needs none."""
    weights = {"vggt": "weights/VGGT-1B/model.safetensors"}
    roots = {
        "scannet": {"root": "data/scannet", "scenes": 1},
        "dtu": {"root": "data/dtu", "scenes": 1},
    }
    write(
        project,
        {
            **CONFIG,
            "name": "absent",
            "methods": {"vggt": {}},
            "ablations": {},
            "base": weights,
            "datasets": roots,
        },
    )
    try:
        assert snakemake(project, "-n").returncode == 0
        done = snakemake(project)
        text = done.stdout + done.stderr
        assert done.returncode != 0
        for part in (
            "datasets.scannet.root: data/scannet",
            "datasets.dtu.root: data/dtu",
            "base.vggt: weights/VGGT-1B",
        ):
            assert part in text
        assert "Nothing was started" in text
        assert not (project / "results" / "absent").exists()
    finally:
        write(project, CONFIG)
