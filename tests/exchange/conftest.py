"""A finished run that is compared, merged and bundled."""

from __future__ import annotations

import pytest

from bench3r.run.config import parse_config
from bench3r.run.planner import make_plan
from tests.helpers.in_process import run_all

CONFIG = {
    "name": "one",
    "methods": {"vggt": {}, "oracle": {}},
    "frames": [3],
    "protocols": ["depth_median", "relpose_pi3"],
    "datasets": {"scannet": {"root": "procedural", "scenes": 6, "views": 3}},
    "profile": {"frames": [3], "warmup": 1, "repeats": 1, "scenes": 1},
}


@pytest.fixture(scope="package")
def finished(tmp_path_factory):
    """The folder and the plan of a finished run; tests stand in that folder."""
    folder = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plan = make_plan(parse_config(CONFIG, "one.yaml"))
        run_all(plan)
    return folder, plan


@pytest.fixture(autouse=True)
def _in_its_folder(finished, monkeypatch):
    monkeypatch.chdir(finished[0])
