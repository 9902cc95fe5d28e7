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


def test_the_check_says_when_it_cannot_compare():
    image = np.zeros((6, 8, 3), np.uint8)
    frame = Frame(image, np.eye(3), np.eye(4), None)
    assert "no depth" in reprojection.check([frame, frame], "x").note
    assert "single" in reprojection.check([replace(frame, depth=np.ones((6, 8)))], "x").note
    here = Frame(image, np.eye(3), np.eye(4), np.ones((6, 8), np.float32))
    away = np.eye(4)
    away[0, 3] = 1e6
    assert "overlap" in reprojection.check([here, replace(here, c2w=away)], "x").note
