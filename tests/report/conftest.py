"""A small finished run with its report."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench3r.run.config import parse_config
from bench3r.run.plan import Plan
from bench3r.run.planner import make_plan
from tests.helpers.in_process import run_all

CONFIG = {
    "name": "page",
    "methods": {"vggt": {}, "spatial_mor": {}, "oracle": {}},
    "finetune": {"steps": 2, "warmup": 1},
    "ablations": {"max_depth": {"method": "spatial_mor", "options": {"max_depth": [2, 3]}}},
    "datasets": {"scannet": {"root": "procedural", "scenes": 2, "views": 3}},
    "frames": [3],
    "profile": {"frames": [3], "warmup": 1, "repeats": 1, "scenes": 1},
}


@pytest.fixture(scope="session")
def page_plan() -> Plan:
    """The plan of the small run."""
    return make_plan(parse_config(CONFIG, "page.yaml"))


@pytest.fixture(scope="session")
def reports(tmp_path_factory, page_plan) -> Path:
    """The reports folder of the small run; its results lie beside it."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_all(page_plan)
    return folder / "reports"
