"""The workflow end to end in a copy of the repository: results, reruns, new methods, mistakes."""

from __future__ import annotations

import re
import subprocess
import sys

import pandas as pd
import pytest

from tests.conftest import ROOT
from tests.helpers.project import outputs, text_of
from tests.workflows.conftest import CONFIG


def test_every_scene_has_every_metric(project):
    rows = project.table()
    assert set(rows["status"]) == {"ok"}
    assert rows.groupby(["method", "dataset"])["scene"].nunique().eq(2).all()
    assert rows[rows["metric"] == "chamfer_norm"]["value"].notna().all()
    mean = rows[rows["metric"] == "absrel"].groupby("method")["value"].mean()
    assert 0.003 < mean["oracle"] < 0.015 < mean["vggt"]


def test_table_cells_trace_back_to_records(project):
    raw = pd.read_csv(project.report / "tables" / "table2.csv").set_index("method")
    shown = raw["pi3_pointmap/chamfer_norm/mean"]
    for method in ("vggt", "oracle"):
        values = []
        for path in (project.results / "score").glob(f"{method}.*.jsonl"):
            for row in project.rows(path):
                if row["protocol"] == "pi3_pointmap":
                    values.append(row["metrics"]["chamfer_norm"])
        assert len(values) == 4
        assert shown[method] == pytest.approx(sum(values) / 4)
    profile = pd.read_json(project.file("profile", "vggt.*.json"), typ="series")
    assert raw.loc["vggt", "profile_flops"] == profile["flops"] == 2 * profile["macs"]
    assert profile["provenance"]["versions"]["torch"]


def test_the_report_says_what_it_stands_on(project):
    text = project.index()
    stands_on = ("PROCEDURAL", "Tiny models", "weights trained in this run", "4/4")
    for part in (*stands_on, "## The answer first"):
        assert part in text, part
    last = (project.report / "answer.txt").read_text()
    assert "Read reports/" in last
    assert re.search(r"against\s.*trivial", last, re.DOTALL)  # a head of two lines
    for name in ("table2.tex", "table2.csv", "detail.md"):
        assert (project.report / "tables" / name).stat().st_size > 100
    assert (project.report / "figures" / "panel_scannet.png").stat().st_size > 5000


def test_snakemakes_own_report_has_captions_and_categories(project, tmp_path):
    done = project.snakemake("--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, text_of(done)[-6000:]
    text = (tmp_path / "report.html").read_text()
    categories = ("Everything on one page", "Figures", "Tables", "table2.csv")
    for part in (*categories, "Raw values behind", "Drawn from the collected"):
        assert part in text, part


def test_running_again_does_nothing(project):
    assert "Nothing to be done" in text_of(project.snakemake())


def test_a_comment_reruns_nothing(project):
    for path in ("methods/oracle.py", "bench3r/models/layers.py", "bench3r/report/tables.py"):
        file = project.folder / path
        file.write_text(file.read_text() + "\n# edited\n")
    assert "Nothing to be done" in text_of(project.snakemake())


def test_editing_a_method_reruns_its_cells_alone(project):
    path = project.folder / "methods" / "oracle.py"
    path.write_text(path.read_text() + "\nEDITED = True\n")
    made = outputs(project.snakemake())
    predicted = {m for m in made if "/predict/" in m}
    assert len(predicted) == 2
    assert all("oracle" in m for m in predicted)
    assert not any("/train/" in m or "/data/" in m or "/profile/" in m for m in made)
    assert "reports/small/index.md" in made
    assert "Nothing to be done" in text_of(project.snakemake())


def test_what_tables_show_of_a_method_predicts_nothing_again(project):
    path = project.folder / "methods" / "oracle.py"
    path.write_text(path.read_text().replace('label = "', 'label = "New ', 1))
    made = outputs(project.snakemake())
    assert "reports/small/index.md" in made
    assert not any("/predict/" in m or "/score/" in m for m in made)
    assert "New " in project.index()


def test_planning_mistakes_stop_the_workflow_with_one_message(project):
    project.write({**CONFIG, "methods": {"vgtt": {}}})
    done = project.snakemake("-n")
    assert done.returncode != 0
    assert "did you mean 'vggt'" in text_of(done)


def test_the_slurm_command_plans_from_the_root():
    options = ["--cores", "all", "--profile", "slurm", "-n", "--quiet"]
    command = [sys.executable, "-m", "snakemake", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, text_of(done)


def test_missing_data_and_weights_are_listed_together_before_anything_starts(project):
    """As for config/full.yaml on a machine without data; a dry run needs none."""
    absent = {
        "name": "absent",
        "methods": {"vggt": {}},
        "ablations": {},
        "base": {"vggt": "weights/VGGT-1B/model.safetensors"},
        "datasets": {
            "scannet": {"root": "data/scannet", "scenes": 1},
            "dtu": {"root": "data/dtu", "scenes": 1},
        },
    }
    project.write({**CONFIG, **absent})
    assert project.snakemake("-n").returncode == 0
    done = project.snakemake()
    text = text_of(done)
    assert done.returncode != 0
    assert "datasets.scannet.root: data/scannet" in text
    assert "datasets.dtu.root: data/dtu" in text
    assert "base.vggt: weights/VGGT-1B" in text
    assert "Nothing was started" in text
    assert not (project.folder / "results" / "absent").exists()
