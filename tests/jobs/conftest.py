"""A small run with cost measurements."""

from __future__ import annotations

import pytest

from bench3r.run import paths
from bench3r.run.config import parse_config
from bench3r.run.planner import make_plan
from bench3r.stages.prepare import prepare

RAW = {
    "name": "edge",
    "methods": {"vggt": {}},
    "datasets": {"scannet": {"root": "procedural", "scenes": 1, "views": 3}},
    "frames": [2],
    "protocols": ["depth_median"],
    "profile": {"frames": [2], "warmup": 1, "repeats": 1, "scenes": 1, "largest": 6},
}


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """A plan with a search, its data prepared, in a folder of its own."""
    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("edge"))
    plan = make_plan(parse_config(RAW, "edge.yaml"))
    for dataset in plan.datasets:
        prepare(dataset, paths.prepared(dataset.id), paths.data_folder(dataset.id))
    yield plan
    patch.undo()


@pytest.fixture
def searched(edge):
    """The search for the maximum frame count."""
    return next(p for p in edge.profiles if p.largest)


@pytest.fixture
def timed(edge):
    """The cost measurement at one frame count."""
    return next(p for p in edge.profiles if not p.largest)
