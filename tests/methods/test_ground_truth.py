"""Ground truth reaches only controls: a method that looks for it finds what it declares."""

from __future__ import annotations

import pytest

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS, conditions_of, withhold
from bench3r.data.prepared import read_prepared
from bench3r.files import read_jsonl
from bench3r.jobs.predict_worker import CellRun
from bench3r.run import paths
from bench3r.run.config import parse_config
from bench3r.run.planner import make_plan
from bench3r.stages.prepare import prepare
from tests.helpers.spy import write_spy


def found_by(folder, kind: str, conditions: tuple[str, ...]) -> list[str]:
    """What the spy records of a scene when it declares ``conditions``."""
    write_spy(folder, kind, conditions)
    raw = {
        "name": "spied",
        "methods": {"spy": {}},
        "datasets": {"scannet": {"root": "procedural", "scenes": 1, "views": 3}},
        "frames": [3],
        "protocols": ["depth_median"],
    }
    plan = make_plan(parse_config(raw, "spied.yaml"))
    (cell,) = plan.cells
    dataset = plan.dataset(cell.dataset)
    prepare(dataset, paths.prepared(dataset.id), paths.data_folder(dataset.id))
    prepared = read_prepared(paths.prepared(dataset.id))
    out = folder / "out"
    out.mkdir()
    CellRun(plan, cell, out, prepared).run(prepared.items(cell.frames), None, None)
    (record,) = read_jsonl(out / "progress.jsonl")
    assert record["status"] == "ok", record["reason"]
    return record["extras"]["found"]


@pytest.fixture
def folder(plugins, monkeypatch):
    monkeypatch.chdir(plugins)
    return plugins


def test_a_control_finds_the_ground_truth_everywhere(folder):
    """The search itself works."""
    found = set(found_by(folder, "control", ("ground_truth",)))
    assert "argument ground_truth" in found
    for place in ("local", "memory"):
        assert {f"{place} depth", f"{place} poses", f"{place} intrinsics"} <= found


@pytest.mark.parametrize("kind", ["model", "control"])
def test_who_declares_nothing_finds_nothing(folder, kind):
    """In arguments, attributes of the images, closures, frames of the callers, files and memory."""
    assert found_by(folder, kind, ()) == []


def test_who_declares_intrinsics_finds_intrinsics_alone(folder):
    found = found_by(folder, "model", ("intrinsics",))
    assert found == ["argument intrinsics", "local intrinsics", "memory intrinsics"]


@pytest.mark.parametrize("kind", ["backbone", "plugin", "model"])
def test_ground_truth_declared_by_no_control_is_refused(plugins, kind):
    write_spy(plugins, kind, ("ground_truth",))
    refused = rf"spy\.py, line \d+.*Spy\.conditions_on names ground_truth, but its kind is '{kind}'"
    with pytest.raises(Bench3RError, match=refused):
        METHODS.get("spy")


def test_an_unknown_condition_is_refused(plugins):
    write_spy(plugins, "model", ("depth",))
    with pytest.raises(Bench3RError, match="names 'depth', expected intrinsics, poses, ground_tru"):
        METHODS.get("spy")


def test_ground_truth_declared_later_is_refused_too():
    """By an instance, or by an attribute set after the class was made."""
    method = METHODS.get("vggt")()
    method.conditions_on = ("ground_truth",)
    for call in (conditions_of, withhold):
        with pytest.raises(Bench3RError, match="controls alone"):
            call(method, None)
