"""Stale means stale: what changes a key, what changes none, and the map from stages to rooms."""

from __future__ import annotations

import shutil

import pytest

from bench3r.api.method import METHODS
from bench3r.files import code_digest
from bench3r.protocols import PROTOCOLS
from bench3r.run import keys
from bench3r.run.config import parse_config
from bench3r.run.keys import LIBRARY, STAGE_CODE, method_key, stage_hash
from bench3r.run.planner import make_plan
from tests.conftest import ROOT
from tests.test_imports import import_graph, imported

STAGES = ("prepare", "train", "predict", "profile", "score", "collect", "report")
# What a stage starts with.
ENTRIES = {
    "prepare": ("stages.prepare",),
    "train": ("stages.train",),
    "predict": ("jobs.predict", "jobs.predict_worker"),
    "profile": ("jobs.profile", "jobs.profile_worker"),
    "score": ("stages.score",),
    "collect": ("stages.collect",),
    "report": ("stages.report",),
}
# What a stage imports and its key need not hash: configuration and plan reach keys as values,
# records and provenance say what was found, tasks carry what the plan says, and what DTU's scanner
# could see matters to scores alone.
CARRIED = ("run", "training/config.py", "jobs/tasks.py", "metrics/dtu.py")
# Times are no part of what is learned, nor is how it was learned part of a prediction.
OF_OTHER_STAGES = {
    "train": ("measure/trackers.py",),
    "predict": ("training/distillation.py",),
    "profile": ("training/distillation.py",),
}


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A copy of the library that a test may change, with the keys looking there."""
    copy = tmp_path / "bench3r"
    shutil.copytree(LIBRARY, copy, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    monkeypatch.setattr(keys, "LIBRARY", copy)
    stage_hash.cache_clear()
    yield copy
    stage_hash.cache_clear()


def hashes() -> dict[str, str]:
    stage_hash.cache_clear()
    return {stage: stage_hash(stage) for stage in STAGES}


def edit(path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, path
    path.write_text(text.replace(old, new, 1))


def test_a_comment_a_docstring_and_the_layout_rerun_nothing(library):
    before = hashes()
    for file in ("models/layers.py", "metrics/depth.py", "jobs/predict.py", "files.py"):
        path = library / file
        text = path.read_text()
        start = text.index('"""') + 3
        path.write_text(f"{text[:start]}Other words. {text[start:]}\n\n# a comment\n")
    assert hashes() == before


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("models/layers.py", {"train", "predict", "profile", "score", "collect", "report"}),
        ("metrics/depth.py", {"score", "collect", "report"}),
        ("measure/trackers.py", {"predict", "profile", "report"}),
        ("training/trainer.py", {"train", "report"}),
        ("stages/prepare.py", {"prepare"}),
        ("stages/collect.py", {"collect"}),
        ("jobs/predict_worker.py", {"predict"}),
        ("jobs/profile.py", {"profile"}),
        ("report/tables.py", {"report"}),
        ("jobs/server.py", set()),
        ("exchange/merge.py", set()),
    ],
)
def test_a_changed_constant_reruns_the_stages_that_use_it(library, file, stages):
    before = hashes()
    path = library / file
    path.write_text(path.read_text() + "\nADDED = 1\n")
    first = hashes()
    assert {s for s in STAGES if first[s] != before[s]} == stages
    edit(path, "ADDED = 1", "ADDED = 2")
    second = hashes()
    assert {s for s in STAGES if second[s] != first[s]} == stages


def part_of(module: str) -> str:
    """The file of a module below bench3r/."""
    inner = "/".join(module.split(".")[1:])
    file = LIBRARY / f"{inner}.py"
    return f"{inner}.py" if file.is_file() else f"{inner}/__init__.py".lstrip("/")


def within(part: str, parts: tuple[str, ...]) -> bool:
    return any(part == p or part.startswith(f"{p}/") for p in parts)


def reached(starts: set[str]) -> set[str]:
    """The files that modules import, and what those import; nothing beyond what is carried."""
    graph = import_graph()
    seen: set[str] = set()
    todo = list(starts)
    while todo:
        module = todo.pop()
        part = part_of(module)
        if part in seen or (within(part, CARRIED) and part != "run/context.py"):
            continue
        seen.add(part)
        todo += graph[module]
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_the_map_names_all_that_a_stage_runs_through(stage):
    starts = {f"bench3r.{name}" for name in ENTRIES[stage]}
    known = set(import_graph())
    folders = ["datasets"]
    if stage in ("train", "predict", "profile"):
        folders.append("methods")
    for folder in folders:
        for path in (ROOT / folder).glob("*.py"):
            starts |= imported(path, known)
    covered = (*STAGE_CODE[stage], *OF_OTHER_STAGES.get(stage, ()))
    assert not {part for part in reached(starts) if not within(part, covered)}


def test_the_map_names_what_is_there():
    for parts in STAGE_CODE.values():
        assert all((LIBRARY / part).exists() for part in parts)


def test_a_method_is_what_it_does(plugins):
    before = method_key("oracle")
    path = plugins / "methods" / "oracle.py"
    path.write_text(path.read_text() + "\n# edited\n")
    edit(path, 'label = "', 'label = "New ')
    assert method_key("oracle") == before, "neither comments nor what tables show"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    changed = method_key("oracle")
    assert changed != before
    edit(path, "ADDED = 1", "ADDED = 2")
    assert method_key("oracle") != changed
    other = method_key("trivial")
    (plugins / "methods" / "_shared.py").write_text("VALUE = 1\n")
    assert method_key("trivial") != other, "a helper beside it"


def test_what_a_method_declares_for_tables_reruns_collect_and_report_alone(plugins):
    raw = {
        "name": "t",
        "methods": {"oracle": {}},
        "datasets": {"scannet": {"root": "procedural", "scenes": 2}},
    }
    before = make_plan(parse_config(raw, "x"))
    edit(plugins / "methods" / "oracle.py", 'label = "', 'label = "New ')
    METHODS.forget()
    after = make_plan(parse_config(raw, "x"))
    assert [c.key for c in after.cells] == [c.key for c in before.cells]
    assert after.score_key == before.score_key
    assert after.collect_key != before.collect_key
    assert after.report_key != before.report_key


def test_sources_are_hashed_by_what_they_do(tmp_path):
    path = tmp_path / "a.py"
    path.write_text('"""Words."""\n\n\ndef f():\n    """More."""\n    return 1\n')
    before = code_digest([tmp_path])
    path.write_text('"""Other."""\n# comment\ndef f():\n    return (1)\n')
    assert code_digest([tmp_path]) == before
    path.write_text("def f():\n    return 2\n")
    assert code_digest([tmp_path]) != before
    path.write_text("def f(:\n")
    broken = code_digest([tmp_path])
    path.write_text("def f(::\n")
    assert code_digest([tmp_path]) != broken, "what cannot be parsed, by its bytes"
    data = tmp_path / "b.yaml"
    data.write_text("a: 1\n")
    with_data = code_digest([tmp_path])
    data.write_text("a: 2\n")
    assert code_digest([tmp_path]) != with_data


def test_every_protocol_is_planned_by_its_name():
    assert set(PROTOCOLS.files()) == set(PROTOCOLS.all())
