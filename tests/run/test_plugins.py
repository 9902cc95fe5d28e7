"""Plug-ins that are broken or wrong, and the contract test."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS
from bench3r.run.config import parse_config
from bench3r.run.planner import make_plan
from tests.conftest import ROOT


def test_a_plugin_that_raises_on_import_is_named_with_its_line(plugins):

    (plugins / "methods" / "broken.py").write_text("import os\n\nvalue = 1 / 0\n")
    with pytest.raises(Bench3RError, match=r"broken\.py, line 3: .*ZeroDivisionError"):
        METHODS.all()
    (plugins / "methods" / "broken.py").write_text("def f(:\n")
    with pytest.raises(Bench3RError, match=r"broken\.py, line 1: .*SyntaxError"):
        METHODS.all()


def test_a_broken_plugin_stops_only_the_runs_that_name_it(plugins, tmp_path):
    (plugins / "methods" / "broken.py").write_text("import os\n\nvalue = 1 / 0\n")
    (plugins / "datasets" / "mine.py").write_text("def f(:\n")
    raw = {"name": "x", "methods": {"vggt": {}}, "datasets": {"scannet": {"root": "procedural"}}}
    with pytest.warns(UserWarning, match=r"left out.*(broken\.py, line 3|mine\.py, line 1)"):
        assert make_plan(parse_config(raw, "x")).cells
    for changed, says in (
        ({"methods": {"broken": {}}}, r"broken\.py, line 3"),
        ({"datasets": {"mine": {"root": "."}}}, "mine\\.py"),
        ({"methods": {"brokem": {}}}, r"unknown method 'brokem'.*cannot be loaded: broken\.py"),
    ):
        with pytest.raises(Bench3RError, match=says):
            make_plan(parse_config(raw | changed, "x"))
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(raw))
    command = [
        sys.executable,
        "-m",
        "bench3r",
        "plan",
        "--config",
        str(tmp_path / "x.yaml"),
        "--out",
        str(tmp_path / "p"),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "BENCH3R_ROOT": str(plugins)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "warning: left out" in done.stderr
    assert "broken.py, line 3" in done.stderr


def test_two_plugins_with_one_name_are_refused(plugins):

    text = (plugins / "methods" / "vggt.py").read_text()
    (plugins / "methods" / "second.py").write_text(text)
    with pytest.raises(Bench3RError, match=r"the name 'vggt' is already taken by .*second\.py"):
        METHODS.all()


def test_a_file_without_a_method_is_refused(plugins):

    (plugins / "methods" / "empty.py").write_text("x = 1\n")
    with pytest.raises(Bench3RError, match=r"empty\.py: expected exactly one method, found none"):
        METHODS.all()


def test_plugins_shadow_no_installed_package(plugins):

    DATASETS.all()
    assert "datasets" not in sys.modules or "bench3r" not in str(sys.modules["datasets"])
    assert "bench3r_datasets.scannet" in sys.modules
