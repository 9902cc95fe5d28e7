"""A loader's mistake is an error that names scene and frame, wherever a scene is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.frames import read_frame
from bench3r.data.load import load_scene
from bench3r.data.prepared import SceneItem
from bench3r.data.validate import validate
from bench3r.stages.prepare import check_scene
from tests.helpers.procedural import write_root

SCENE = "scene9000_00"
FRAMES = ["0", "1", "2"]


def with_k(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Frame], Frame]:
    return lambda frame: replace(frame, intrinsics=change(frame.intrinsics.copy()))


def with_entry(row: int, column: int, value: float) -> Callable[[Frame], Frame]:
    def change(k: np.ndarray) -> np.ndarray:
        k[row, column] = value
        return k

    return with_k(change)


def with_depth(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Frame], Frame]:
    return lambda frame: replace(frame, depth=change(frame.depth.copy()))


def spoiled(depth: np.ndarray, value: float) -> np.ndarray:
    depth[0, 0] = value
    return depth


WRONG = {
    "transposed": (with_k(np.transpose), r"K's last row must be \[0, 0, 1\]; it looks transposed"),
    "scaled": (with_k(lambda k: 2 * k), r"K's last row must be \[0, 0, 1\]: "),
    "nan": (with_entry(0, 0, np.nan), "K is not finite"),
    "negative focal length": (with_entry(1, 1, -100), "must be positive"),
    "skew": (with_entry(0, 1, 30), "skew"),
    "normalised": (with_k(lambda k: np.diag([1 / 160, 1 / 120, 1]) @ k), "must be in pixels"),
    "principal point": (with_entry(0, 2, 900), "principal point"),
    "[3, 4]": (with_k(lambda k: np.eye(4)[:3]), r"K is \[3, 4\], expected \[3, 3\]"),
    "pose": (lambda f: replace(f, c2w=np.diag([1.0, 2, 1, 1])), "not a rigid transform"),
    "pose's last row": (
        lambda f: replace(
            f, c2w=f.c2w.T @ np.diag([1.0, 1, 1, 1]) + np.eye(4)[3] * np.ones((4, 1))
        ),
        "pose's last row",
    ),
    "size": (with_depth(lambda d: d[::2, ::2]), "differ in size"),
    "negative depth": (with_depth(lambda d: spoiled(d, -1)), "negative"),
    "depth nan": (with_depth(lambda d: spoiled(d, np.nan)), "z-depth is not finite"),
    "grey": (lambda f: replace(f, image=f.image[..., 0]), r"expected uint8 \[H, W, 3\]"),
    "float image": (lambda f: replace(f, image=f.image / 255), "expected uint8"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_root("scannet", tmp_path_factory.mktemp("scannet"))


def spoil(monkeypatch, change: Callable[[Frame], Frame], only: str | None = None) -> None:
    """Let ScanNet's loader change its frames, or the one called ``only``."""
    cls = DATASETS.get("scannet")
    right = cls.read

    def wrong(self: object, scene: str, frame: str) -> Frame:
        found = right(self, scene, frame)
        return change(found) if only in (None, frame) else found

    monkeypatch.setattr(cls, "read", wrong)


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_frame_is_named(case, root, monkeypatch):
    change, message = WRONG[case]
    spoil(monkeypatch, change, only="1")
    dataset = DATASETS.get("scannet")(root)
    read_frame(dataset, SCENE, "0")
    with pytest.raises(Bench3RError, match=rf"scannet {SCENE}, frame 1: .*{message}"):
        read_frame(dataset, SCENE, "1")


def test_a_transposed_k_is_found_wherever_the_scene_is_read(root, tmp_path, monkeypatch):
    spoil(monkeypatch, WRONG["transposed"][0])
    dataset = DATASETS.get("scannet")(root)
    with pytest.raises(Bench3RError, match="it looks transposed"):
        load_scene(dataset, SCENE, FRAMES, 96, 8, check=False)
    found = check_scene(dataset, SceneItem(id=SCENE, scene=SCENE, frames=FRAMES))
    assert not found.ok
    assert "it looks transposed" in found.note
    # in the process of the test, where the loader is wrong
    monkeypatch.setattr("bench3r.data.validate.ProcessPoolExecutor", InProcess)
    report = validate("scannet", root, tmp_path / "report.json", workers=1)
    assert report.broken == [SCENE]
    assert any("it looks transposed" in p for p in report.details[0].problems)


class InProcess:
    """Stands in for a pool of processes."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        future: Future = Future()
        future.set_result(function(*arguments))
        return future


def test_a_frame_without_depth_among_others_is_an_error(root, monkeypatch):
    spoil(monkeypatch, lambda frame: replace(frame, depth=None), only="2")
    dataset = DATASETS.get("scannet")(root)
    with pytest.raises(Bench3RError, match="frame 2: no z-depth, while other frames have it"):
        load_scene(dataset, SCENE, FRAMES, 96, 8)


def test_a_single_frame_is_compared_with_those_after_it(root, monkeypatch):
    dataset = DATASETS.get("scannet")(root)
    item = SceneItem(id=SCENE, scene=SCENE, frames=["0"])
    found = check_scene(dataset, item)
    assert found.ok
    assert found.pairs > 0
    spoil(monkeypatch, lambda frame: replace(frame, c2w=np.linalg.inv(frame.c2w)))
    assert "inverted" in check_scene(dataset, item).note
