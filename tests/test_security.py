"""Hostile names and files reach no shell, no page and no path outside the data root."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS
from bench3r.data.formats.files import inside
from tests.conftest import ROOT
from tests.helpers.in_process import run_all
from tests.helpers.layouts import WRITERS

HOSTILE = "a 'b' \"c\"; touch harmed; $(touch harmed2) `touch harmed3` é&|"
METHOD = '''"""Says what it was told."""

from bench3r.api.method import METHODS, Method, MethodOptions


class Told(Method):
    """An oracle with a text as option."""

    name = "told"
    label = {label!r}
    kind = "control"
    conditions_on = ("ground_truth",)

    class Options(MethodOptions):
        text: str = ""

    def build(self, context):
        predict = METHODS.get("oracle")().build(context)

        def call(images, ground_truth):
            if "fail" in self.options.text:
                raise ValueError("<img src=x onerror=alert(1)>" + self.options.text)
            return predict(images, ground_truth)

        return call
'''


def copy_project(folder):
    """The parts of the project that a run needs."""
    for name in ("bench3r", "methods", "datasets", "workflows", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, folder / name)


def run_workflow(folder, config: str) -> subprocess.CompletedProcess:
    """Snakemake in a copy of the project."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", config]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "BENCH3R_ROOT": str(folder)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.slow
def test_hostile_names_never_reach_a_shell(tmp_path):
    """Project folder, data root and option hold spaces, quotes, ;, $(), backticks and unicode."""
    folder = tmp_path / HOSTILE.replace("/", "")
    copy_project(folder)
    (folder / "methods" / "told.py").write_text(METHOD.format(label="told"))
    data = tmp_path / f"data {HOSTILE}"
    DATASETS.get("scannet").write_procedural(data, "scene9000_00", 0, 1, 4)
    config = {
        "name": "hostile",
        "methods": {"told": {"text": [HOSTILE, ""]}},
        "frames": [3],
        "protocols": ["depth_median"],
        "datasets": {"scannet": {"root": str(data), "scenes": 1, "views": 4}},
    }
    (folder / "config" / "hostile.yaml").write_text(yaml.safe_dump(config))
    done = run_workflow(folder, "config/hostile.yaml")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    rows = pd.read_parquet(folder / "results/hostile/records.parquet")
    assert set(rows["status"]) == {"ok"}
    assert {json.loads(o)["text"] for o in rows["options"]} == {HOSTILE, ""}
    assert not list(tmp_path.rglob("harmed*"))


@pytest.mark.parametrize("name", ["two words", "$(touch harmed)", "../up", "a;b", "é", ""])
def test_a_plug_in_with_a_hostile_name_is_refused(name, plugins):
    (plugins / "methods" / "told.py").write_text(
        METHOD.format(label="told").replace('"told"\n    label', f"{name!r}\n    label")
    )
    with pytest.raises(Bench3RError, match=r"told\.py: Told\.name is .*expected letters"):
        METHODS.all()


@pytest.mark.slow
def test_the_page_escapes_everything(plugins, tmp_path, monkeypatch):
    from bench3r.run.config import parse_config
    from bench3r.run.planner import make_plan

    label = "</script><script>alert(1)</script>"
    (plugins / "methods" / "told.py").write_text(METHOD.format(label=label))
    monkeypatch.chdir(tmp_path)
    config = {
        "name": "page",
        "methods": {"vggt": {}, "told": {"text": ["<b>fail</b>", ""]}},
        "frames": [3],
        "protocols": ["depth_median"],
        "datasets": {"scannet": {"root": "procedural", "scenes": 2, "views": 4}},
        "profile": {"frames": [3], "warmup": 1, "repeats": 1, "scenes": 1},
    }
    run_all(make_plan(parse_config(config, "page.yaml")))
    page = (tmp_path / "reports/page/index.html").read_text()
    assert "alert(1)" in page  # it is shown
    for harm in ("<script>alert(1)", "<img src=x", "<b>fail"):
        assert harm not in page, harm


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b", "..", "", "a\0b"])
def test_names_that_lead_outside_are_refused(name, tmp_path):
    with pytest.raises(Bench3RError, match="lies outside"):
        inside(tmp_path, name)
    assert inside(tmp_path, "a/../b/c.png") == tmp_path / "b" / "c.png"


def _tum(root):
    (root / "rgbd_dataset_freiburg3_test" / "rgb.txt").write_text(
        "1305031102.175304 ../../secret.png\n"
    )


def _co3d(root):
    (path,) = root.glob("*_test.jgz")
    stored = json.loads(gzip.decompress(path.read_bytes()))
    for frames in stored.values():
        for row in frames:
            row["filepath"] = "../secret.png"
    path.write_bytes(gzip.compress(json.dumps(stored).encode()))


def _re10k(root):
    (path,) = root.glob("*/annotations.json")
    rows = json.loads(path.read_text())
    for row in rows:
        row["filepath"] = "../../secret.png"
    path.write_text(json.dumps(rows))


def _eth3d(root):
    (path,) = root.glob("*/dslr_calibration_jpg/images.txt")
    path.write_text(path.read_text().replace("dslr_images/", "../../../dslr_images/"))


@pytest.mark.parametrize(
    ("case", "spoil"), [("tum", _tum), ("co3dv2", _co3d), ("re10k", _re10k), ("eth3d", _eth3d)]
)
def test_files_that_name_files_outside_the_root_are_refused(case, spoil, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    WRITERS[case][1](root)
    spoil(root)
    dataset = DATASETS.get(WRITERS[case][0])(root)
    (scene,) = dataset.scenes()
    with pytest.raises(Bench3RError, match="lies outside"):
        dataset.read(scene, dataset.frames(scene)[0])


def test_arrays_in_a_data_root_hold_no_objects(tmp_path):
    WRITERS["megadepth"][1](tmp_path)
    np.save(
        tmp_path / "9001" / "0" / "0000.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True
    )
    with pytest.raises(Bench3RError, match="unreadable depth map"):
        DATASETS.get("megadepth")(tmp_path).read("9001/0", "0000")
