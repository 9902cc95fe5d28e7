"""Scenes that a configuration asks for are all there, or it is told which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.frame_lists import FrameList
from bench3r.data.picked import pick_listed, pick_scenes
from bench3r.run.config_sections import DatasetConfig
from bench3r.run.datasets import plan_dataset
from bench3r.stages.prepare import frame_lists


class Planted(Dataset):
    """A dataset of named scenes with five frames each."""

    name = "scannet"
    label = "planted"
    names: tuple[str, ...] = ("a", "b", "c")

    def scenes(self) -> list[str]:
        return list(self.names)

    def frames(self, scene: str) -> list[str]:
        return [str(i) for i in range(5)]

    def read(self, scene: str, frame: str) -> Frame:
        raise NotImplementedError


def planted(root: Path, *names: str) -> Planted:
    found = Planted(root)
    found.names = names
    return found


def listed(*names: str) -> FrameList:
    lists = dict.fromkeys(names)
    return FrameList(
        name="five", dataset="scannet", origin="planted", frames_by="run", sha256="", lists=lists
    )


def test_more_scenes_than_there_are_is_an_error(tmp_path):
    dataset = planted(tmp_path, "a", "b", "c")
    assert pick_scenes(dataset, 2) == ["a", "b"]
    assert pick_scenes(dataset, "all") == ["a", "b", "c"]
    with pytest.raises(Bench3RError, match=r"asks for 10 and .* holds 3; set `scenes: all`"):
        pick_scenes(dataset, 10)
    with pytest.raises(Bench3RError, match="unknown scene 'd'"):
        pick_scenes(dataset, ["a", "d"])
    with pytest.raises(Bench3RError, match="no scene found"):
        pick_scenes(planted(tmp_path), "all")
    with pytest.raises(Bench3RError, match="scene a stands twice"):
        pick_scenes(planted(tmp_path, "a", "b", "a"), "all")


def test_a_frame_list_is_used_whole_or_as_asked(tmp_path):
    dataset = planted(tmp_path, "z", "a", "b")
    assert pick_listed(dataset, "all", listed("a", "b")) == {"a": "a", "b": "b"}
    # the first of the list, not those of the dataset's first that happen to be in it
    assert pick_listed(dataset, 1, listed("a", "b")) == {"a": "a"}
    assert pick_listed(dataset, ["b"], listed("a", "b")) == {"b": "b"}
    missing = r"1 of the 3 scenes of frame list five are not under .*, the first is c"
    with pytest.raises(Bench3RError, match=missing):
        pick_listed(dataset, "all", listed("a", "b", "c"))
    with pytest.raises(Bench3RError, match="asks for 3"):
        pick_listed(dataset, 3, listed("a", "b", "c"))
    with pytest.raises(Bench3RError, match="scene z is not in frame list five"):
        pick_listed(dataset, ["z"], listed("a", "b"))


def test_scenes_whose_records_would_be_one_are_refused(tmp_path):
    wanted = DatasetConfig(root=str(tmp_path), scenes="all")
    entry = plan_dataset("scannet", wanted, [2])
    assert len(frame_lists(planted(tmp_path, "x/a", "x_b"), entry)["2"]) == 2
    with pytest.raises(Bench3RError, match="scenes x/a and x_a have the same name x_a in files"):
        frame_lists(planted(tmp_path, "x/a", "x_a"), entry)


def test_a_scene_with_too_few_frames_is_named(tmp_path):
    entry = plan_dataset("scannet", DatasetConfig(root=str(tmp_path), scenes="all"), [9])
    with pytest.raises(Bench3RError, match="scannet a: 5 frames are too few for 9"):
        frame_lists(planted(tmp_path, "a"), entry)


def test_a_frame_that_a_dataset_lists_twice_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Planted, "frames", lambda self, scene: ["0", "1", "0"])
    entry = plan_dataset("scannet", DatasetConfig(root=str(tmp_path), scenes="all"), [2])
    with pytest.raises(Bench3RError, match="scannet a: frame 0 stands twice in the scene"):
        frame_lists(planted(tmp_path, "a"), entry)
