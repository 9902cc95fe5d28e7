"""The reprojection gate: depth, intrinsics and poses of a scene must agree with each other, or nothing is computed.

A wrong convention (inverted poses, OpenGL axes, wrong unit) gives plausible pictures and wrong numbers. Moving the
depth of one frame into another and comparing costs milliseconds and catches them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame

MAX_ERROR = 0.03  # median relative depth error
MIN_OVERLAP = 0.3  # share of a frame's valid pixels that fall on valid depth of the other
PIXELS = 4000  # pixels tested per frame
NEIGHBOURS = 3  # each frame is tested against this many following frames


@dataclass(frozen=True)
class GateResult:
    """Outcome of the gate: ``median`` error over overlapping pairs, None when nothing could be compared."""

    median: float | None
    pairs: int
    note: str = ""


def pair_error(source: Frame, target: Frame) -> tuple[float, float]:
    """Median relative error and overlap of ``source``'s depth moved into ``target``. Error is nan without overlap."""
    assert source.depth is not None
    assert target.depth is not None
    rows, columns = np.nonzero(source.depth > 0)
    if not len(rows):
        return float("nan"), 0.0
    step = max(1, len(rows) // PIXELS)
    rows, columns = rows[::step], columns[::step]
    z = source.depth[rows, columns].astype(np.float64)
    rays = np.stack([columns, rows, np.ones_like(rows)]) * z
    camera = np.linalg.solve(source.intrinsics, rays)
    relative = np.linalg.inv(target.c2w) @ source.c2w
    moved = relative[:3, :3] @ camera + relative[:3, 3:]
    front = moved[2] > 1e-6
    pixel = (target.intrinsics @ moved[:, front])[:2] / moved[2, front]
    measured = sample_depth(target.depth, *pixel)
    known = measured > 0
    overlap = known.sum() / len(rows)
    if not known.any():
        return float("nan"), 0.0
    error = np.abs(moved[2, front][known] - measured[known]) / measured[known]
    return float(np.median(error)), float(overlap)


def sample_depth(depth: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Depth [H, W] at real-valued pixels [N]; 0 outside and where one of the four neighbours is unknown.

    Inverse depth is interpolated, which is exact on planes, so slanted floors do not look like disagreement.
    """
    h, w = depth.shape
    inside = (u >= 0) & (u <= w - 1) & (v >= 0) & (v <= h - 1)
    out = np.zeros(len(u))
    column, row = u[inside].astype(int).clip(0, w - 2), v[inside].astype(int).clip(0, h - 2)
    a, b = u[inside] - column, v[inside] - row
    corners = np.stack(
        [
            depth[row, column],
            depth[row, column + 1],
            depth[row + 1, column],
            depth[row + 1, column + 1],
        ]
    )
    weights = np.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    good = (corners > 0).all(0)
    inverse = (weights / np.where(corners > 0, corners, 1)).sum(0)
    out[inside] = np.where(good, 1 / inverse, 0)
    return out


def measure(frames: list[Frame]) -> GateResult:
    """Median error over all neighbouring pairs that overlap enough.

    Of the two directions of a pair the better counts: a near object in one view hides what the other sees, but not
    the other way round, while a wrong convention is wrong both ways.
    """
    errors = []
    for i in range(len(frames)):
        for j in range(i + 1, min(len(frames), i + 1 + NEIGHBOURS)):
            both = (pair_error(frames[i], frames[j]), pair_error(frames[j], frames[i]))
            overlapping = [e for e, overlap in both if overlap > MIN_OVERLAP]
            errors += [min(overlapping)] if overlapping else []
    if not errors:
        return GateResult(
            None, 0, "not checked: no two neighbouring frames overlap by more than 30 %"
        )
    return GateResult(float(np.median(errors)), len(errors))


def _changed(frame: Frame, c2w: np.ndarray | None = None, depth: np.ndarray | None = None) -> Frame:
    return Frame(
        frame.image,
        frame.intrinsics,
        frame.c2w if c2w is None else c2w,
        frame.depth if depth is None else depth,
    )


def _ray_length(frame: Frame) -> Frame:
    assert frame.depth is not None
    v, u = np.mgrid[: frame.depth.shape[0], : frame.depth.shape[1]]
    rays = np.linalg.solve(frame.intrinsics, np.stack([u.ravel(), v.ravel(), np.ones(u.size)]))
    return _changed(frame, depth=frame.depth / np.linalg.norm(rays, axis=0).reshape(u.shape))


def _scaled(factor: float) -> Callable[[Frame], Frame]:
    return lambda f: _changed(f, depth=None if f.depth is None else f.depth * factor)


MISTAKES: dict[str, Callable[[Frame], Frame]] = {
    "the poses look inverted (world-to-camera where camera-to-world is expected)": lambda f: (
        _changed(f, c2w=np.linalg.inv(f.c2w))
    ),
    "the poses look like OpenGL axes (y up, z backward); flip columns 1 and 2": lambda f: _changed(
        f, c2w=f.c2w @ np.diag([1.0, -1, -1, 1])
    ),
    "the poses look like inverted OpenGL poses": lambda f: _changed(
        f, c2w=np.linalg.inv(f.c2w) @ np.diag([1.0, -1, -1, 1])
    ),
    "the depth looks 1000 times too large for the poses (millimetres?)": _scaled(1e-3),
    "the depth looks 1000 times too small for the poses (metres?)": _scaled(1e3),
    "the depth looks like distance along the ray, not z": _ray_length,
}


def likely_mistake(frames: list[Frame]) -> str | None:
    """The convention mistake whose correction makes the frames agree best, if any does."""
    best, name = MAX_ERROR, None
    for text, correct in MISTAKES.items():
        try:
            result = measure([correct(f) for f in frames])
        except np.linalg.LinAlgError:
            continue
        if result.median is not None and result.median < best:
            best, name = result.median, text
    return name


def check(frames: list[Frame], where: str) -> GateResult:
    """Raise Bench3RError when depth and poses of ``frames`` disagree; name the likely convention mistake."""
    if any(f.depth is None for f in frames):
        return GateResult(None, 0, "not checked: the dataset has no depth")
    if len(frames) < 2:
        return GateResult(None, 0, "not checked: a single frame")
    result = measure(frames)
    if result.median is not None and result.median < MAX_ERROR:
        return result
    mistake = likely_mistake(frames)
    if result.median is None and mistake is None:
        return result
    found = (
        "no overlap"
        if result.median is None
        else f"median relative error {result.median:.1%} over {result.pairs} pairs"
    )
    hint = mistake or "no common convention mistake explains it: check depth, poses and intrinsics"
    raise Bench3RError(
        f"{where}: depth reprojected between frames disagrees ({found}, allowed {MAX_ERROR:.0%}): {hint}"
    )
