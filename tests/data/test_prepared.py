"""Prepared data are the same file after reading and writing, and a job checks a scene once."""

from __future__ import annotations

import pytest

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.data import load
from bench3r.data.load import SceneLoader
from bench3r.data.prepared import (
    Prepared,
    SceneCheck,
    SceneItem,
    lists_digest,
    read_prepared,
    write_prepared,
)
from bench3r.files import digest
from tests.helpers.procedural import write_root

PASSED = SceneCheck(ok=True, median_error=0.001, pairs=2, note="")
FAILED = SceneCheck(ok=False, note="depth and poses disagree")


def prepared(root, check=PASSED) -> Prepared:
    """One scene of three frames, in lists of two and three."""
    scene = "scene9000_00"
    lists = {
        "2": [SceneItem(id=scene, scene=scene, frames=["0", "1"])],
        "3": [SceneItem(id=scene, scene=scene, frames=["0", "1", "2"])],
    }
    return Prepared(
        id="scannet",
        name="scannet",
        key="k",
        root=str(root),
        procedural=True,
        frame_list=None,
        intrinsics="exact",
        lists=lists,
        lists_sha256=lists_digest(lists),
        checks={scene: check},
    )


@pytest.mark.parametrize("check", [PASSED, FAILED])
def test_what_is_read_is_written_again(tmp_path, check):
    made = prepared(tmp_path, check)
    write_prepared(tmp_path / "a.json", made)
    read = read_prepared(tmp_path / "a.json")
    assert read == made
    write_prepared(tmp_path / "b.json", read)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    item = {"id": "scene9000_00", "scene": "scene9000_00", "frames": ["0", "1"]}
    longer = {**item, "frames": ["0", "1", "2"]}
    assert made.lists_sha256 == digest({"2": [item], "3": [longer]})


def test_lists_are_found_by_frame_count(tmp_path):
    made = prepared(tmp_path)
    assert [item.frames for item in made.items(2)] == [["0", "1"]]
    assert made.longest() == made.items(3)
    with pytest.raises(Bench3RError, match="no list of 7 frames"):
        made.items(7)


@pytest.mark.parametrize("content", ["{}", "[]", '{"name": "scannet"}', "no JSON"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "scannet.json"
    path.write_text(content)
    with pytest.raises(Bench3RError, match=r"scannet\.json"):
        read_prepared(path)


@pytest.mark.parametrize(
    ("check", "frames", "predicted", "checked"),
    [
        (PASSED, 3, False, 0),  # the frames that passed when they were prepared
        (PASSED, 2, False, 1),  # others
        (FAILED, 3, False, 1),  # what failed may have been repaired
        (FAILED, 2, True, 0),  # who predicted it checked it
    ],
)
def test_a_scene_is_checked_once(tmp_path, monkeypatch, check, frames, predicted, checked):
    write_root("scannet", tmp_path)
    seen = []
    monkeypatch.setattr(load, "check_frames", lambda *arguments: seen.append(arguments))
    made = prepared(tmp_path, check)
    loader = SceneLoader(made, 96, 8, predicted=predicted)
    (item,) = made.items(frames)
    scene = loader.load(item)
    assert scene.frames == tuple(item.frames)
    assert len(seen) == checked


def test_a_loader_opens_the_dataset(tmp_path):
    loader = SceneLoader(prepared(tmp_path), 96, 8)
    assert isinstance(loader.dataset, DATASETS.get("scannet"))
