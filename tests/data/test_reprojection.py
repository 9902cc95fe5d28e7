"""The reprojection check names convention mistakes, and says when it cannot check."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data import reprojection
from bench3r.data.procedural.render import make_scene
from tests.helpers.procedural import frames_of

WRONG = {
    "inverted": (lambda f: replace(f, c2w=np.linalg.inv(f.c2w)), "inverted"),
    "opengl": (lambda f: replace(f, c2w=f.c2w @ np.diag([1.0, -1, -1, 1])), "OpenGL"),
    "millimetres": (lambda f: replace(f, depth=f.depth * 1000), "1000 times too large"),
    "focal": (
        lambda f: replace(f, intrinsics=np.diag([3.0, 3, 1]) @ f.intrinsics),
        "no common convention",
    ),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("style", ["room", "outdoor"])
def test_the_check_names_the_convention_mistake(case, style):
    views = make_scene(style, 8, 6, (60, 80), samples=1)[1]
    spoil, message = WRONG[case]
    frames = [spoil(frame) for frame in frames_of(views)]
    with pytest.raises(Bench3RError, match=message):
        reprojection.check(frames, "scene")


def here() -> Frame:
    """A frame of a wall."""
    k = np.array([[8.0, 0, 3.5], [0, 8, 2.5], [0, 0, 1]])
    return Frame(np.zeros((6, 8, 3), np.uint8), k, np.eye(4), np.ones((6, 8), np.float32))


def away(frame: Frame) -> Frame:
    """The same seen from so far away that the two do not overlap."""
    pose = np.eye(4)
    pose[0, 3] = 1e6
    return replace(frame, c2w=pose)


def test_the_check_says_when_there_is_nothing_to_compare():
    blind = replace(here(), depth=None)
    assert "no depth" in reprojection.check([blind, blind], "x").note
    assert "single" in reprojection.check([here()], "x").note


def test_nothing_compared_never_passes_where_there_is_depth():
    with pytest.raises(Bench3RError, match=r"x: nothing shows .*no two .*overlap"):
        reprojection.check([here(), away(here())], "x")
    empty = replace(here(), depth=np.zeros((6, 8), np.float32))
    with pytest.raises(Bench3RError, match="nothing shows"):
        reprojection.check([empty, empty], "x")


def test_frames_that_do_not_overlap_are_compared_with_those_beside_them():
    frames = [here(), away(here())]
    found = reprojection.check(frames, "x", lambda: [[frame, frame] for frame in frames])
    assert found.median == 0
    assert found.pairs == 2
    moved = [[here(), replace(here(), depth=np.full((6, 8), 2, np.float32))]]
    with pytest.raises(Bench3RError, match="disagrees"):
        reprojection.check(frames, "x", lambda: moved)
    with pytest.raises(Bench3RError, match="disagrees"):
        reprojection.check([here()], "x", lambda: moved)


def test_sparse_depth_of_a_laser_scanner_is_compared():
    views = make_scene("outdoor", 8, 3, (120, 160), samples=1)[1]
    rng = np.random.default_rng(0)

    def scanned(frame: Frame) -> Frame:
        assert frame.depth is not None
        return replace(frame, depth=frame.depth * (rng.random(frame.depth.shape) < 0.15))

    frames = [scanned(frame) for frame in frames_of(views)]
    assert reprojection.check(frames, "x").pairs > 0
    wrong = [replace(f, c2w=np.linalg.inv(f.c2w)) for f in frames]
    with pytest.raises(Bench3RError, match="inverted"):
        reprojection.check(wrong, "x")
