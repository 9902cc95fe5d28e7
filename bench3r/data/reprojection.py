"""The reprojection check: z-depth, intrinsics and poses of a scene must agree with each other.

A wrong convention (inverted poses, OpenGL axes, wrong unit) gives plausible pictures and wrong
numbers. Moving the z-depth of one frame into another and comparing costs milliseconds and catches
them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.poses import opengl_to_opencv

MAX_ERROR = 0.03  # median relative depth error
MIN_OVERLAP = 0.3  # share of a frame's valid pixels that fall into the other
MIN_COMPARED = 100  # pixels of known z-depth in both; fewer are enough in tiny images
PIXELS = 4000  # pixels tested per frame
NEIGHBOURS = 3  # each frame is tested against this many following frames


@dataclass(frozen=True)
class Agreement:
    """What the check found: ``median`` error of ``pairs`` of frames; None: nothing was compared."""

    median: float | None
    pairs: int
    note: str = ""  # why nothing was compared


def pair_error(source: Frame, target: Frame) -> tuple[float, float]:
    """Median relative error and overlap of ``source``'s z-depth moved into ``target``.

    The error is nan with too few pixels to compare. The overlap is the share of the pixels that
    fall into the image, with or without z-depth there: that of a laser scanner is sparse.
    """
    assert source.depth is not None
    assert target.depth is not None
    rows, columns = np.nonzero(source.depth > 0)
    if not len(rows):
        return float("nan"), 0.0
    step = max(1, len(rows) // PIXELS)
    rows = rows[::step]
    columns = columns[::step]
    z = source.depth[rows, columns].astype(np.float64)
    rays = np.stack([columns, rows, np.ones_like(rows)]) * z
    camera = np.linalg.solve(source.intrinsics, rays)
    relative = np.linalg.inv(target.c2w) @ source.c2w
    moved = relative[:3, :3] @ camera + relative[:3, 3:]
    front = moved[2] > 1e-6
    u, v = (target.intrinsics @ moved[:, front])[:2] / moved[2, front]
    height, width = target.depth.shape
    inside = (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    measured = sample_depth(target.depth, u, v)
    known = measured > 0
    overlap = float(inside.sum() / len(rows))
    if known.sum() < min(MIN_COMPARED, MIN_OVERLAP * len(rows)):
        return float("nan"), overlap
    error = np.abs(moved[2, front][known] - measured[known]) / measured[known]
    return float(np.median(error)), overlap


def sample_depth(depth: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """z-depth [N] of a map [H, W] at the real-valued pixels ``u`` [N] and ``v`` [N].

    Inverse depth is interpolated, which is exact on planes, so slanted floors do not look like
    disagreement. Where one of the four neighbours is unknown it is the nearest one's; 0 where that
    is unknown, and outside.
    """
    h, w = depth.shape
    inside = (u >= 0) & (u <= w - 1) & (v >= 0) & (v <= h - 1)
    column = u[inside].astype(int).clip(0, w - 2)
    row = v[inside].astype(int).clip(0, h - 2)
    a = u[inside] - column
    b = v[inside] - row
    above = [depth[row, column], depth[row, column + 1]]
    below = [depth[row + 1, column], depth[row + 1, column + 1]]
    corners = np.stack(above + below)
    weights = np.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    good = (corners > 0).all(0)
    inverse = (weights / np.where(corners > 0, corners, 1)).sum(0)
    nearest = depth[row + (b > 0.5), column + (a > 0.5)]
    out = np.zeros(len(u))
    out[inside] = np.where(good, 1 / inverse, nearest)
    return out


def measure(groups: list[list[Frame]]) -> Agreement:
    """Median error over all neighbouring pairs, within each of the ``groups``, that overlap enough.

    Of the two directions of a pair the better counts: a near object in one view hides what the
    other sees, but not the other way round, while a wrong convention is wrong both ways.
    """
    errors = []
    for frames in groups:
        for i, frame in enumerate(frames):
            for other in frames[i + 1 : i + 1 + NEIGHBOURS]:
                errors += _better_error(frame, other)
    if not errors:
        share = f"{MIN_OVERLAP * 100:.0f} %"
        note = f"no two neighbouring frames overlap by more than {share}"
        return Agreement(None, 0, note)
    return Agreement(float(np.median(errors)), len(errors))


def _better_error(frame: Frame, other: Frame) -> list[float]:
    """The smaller error of both directions of a pair; none where it cannot be compared."""
    both = (pair_error(frame, other), pair_error(other, frame))
    compared = [e for e, overlap in both if overlap > MIN_OVERLAP and np.isfinite(e)]
    return [min(compared)] if compared else []


def _inverted(frame: Frame) -> Frame:
    return replace(frame, c2w=np.linalg.inv(frame.c2w))


def _other_axes(frame: Frame) -> Frame:
    return replace(frame, c2w=opengl_to_opencv(frame.c2w))


def _along_z(frame: Frame) -> Frame:
    """``frame`` with its depth, taken for distances along the rays, as z-depth."""
    assert frame.depth is not None
    v, u = np.mgrid[: frame.depth.shape[0], : frame.depth.shape[1]]
    rays = np.linalg.solve(frame.intrinsics, np.stack([u.ravel(), v.ravel(), np.ones(u.size)]))
    lengths = np.linalg.norm(rays, axis=0).reshape(u.shape)
    return replace(frame, depth=frame.depth / lengths)


def _scaled(factor: float) -> Callable[[Frame], Frame]:
    def correct(frame: Frame) -> Frame:
        assert frame.depth is not None
        return replace(frame, depth=frame.depth * factor)

    return correct


# what a loader may have got wrong, and how to correct a frame of it
MISTAKES: dict[str, Callable[[Frame], Frame]] = {
    "the poses look inverted (world-to-camera where camera-to-world is expected)": _inverted,
    "the poses look like OpenGL axes (y up, z backward); flip columns 1 and 2": _other_axes,
    "the poses look like inverted OpenGL poses": lambda frame: _other_axes(_inverted(frame)),
    "the depth looks 1000 times too large for the poses (millimetres?)": _scaled(1e-3),
    "the depth looks 1000 times too small for the poses (metres?)": _scaled(1e3),
    "the depth looks like distance along the ray, not z-depth": _along_z,
}


def likely_mistake(groups: list[list[Frame]]) -> str | None:
    """The convention mistake whose correction makes the frames agree best, if any does."""
    best = MAX_ERROR
    name = None
    for text, correct in MISTAKES.items():
        try:
            result = measure([[correct(f) for f in frames] for frames in groups])
        except np.linalg.LinAlgError:
            continue
        if result.median is not None and result.median < best:
            best = result.median
            name = text
    return name


def check(
    frames: list[Frame], where: str, nearby: Callable[[], list[list[Frame]]] = list
) -> Agreement:
    """How well z-depth and poses of ``frames`` agree.

    ``nearby``: groups of frames that are close to each other, read where no two of ``frames``
    overlap. Raises Bench3RError, naming ``where`` and the likely convention mistake, when they do
    not agree, and when there is z-depth but nothing to compare it with.
    """
    if any(f.depth is None for f in frames):
        return Agreement(None, 0, "not checked: the dataset has no depth")
    groups = [frames]
    result = measure(groups)
    if result.median is None and likely_mistake(groups) is None:
        groups = nearby() or groups
        result = measure(groups)
    if result.median is not None and result.median < MAX_ERROR:
        return result
    if max(map(len, groups)) < 2:
        return Agreement(None, 0, "not checked: the scene is a single frame")
    hint = likely_mistake(groups) or (
        "no common convention mistake explains it: check depth, poses and intrinsics"
    )
    if result.median is None:
        raise Bench3RError(
            f"{where}: nothing shows that depth and poses agree: {result.note}; {hint}"
        )
    found = f"median relative error {result.median:.1%} over {result.pairs} pairs"
    raise Bench3RError(
        f"{where}: depth reprojected between frames disagrees ({found}, "
        f"allowed {MAX_ERROR:.0%}): {hint}"
    )
