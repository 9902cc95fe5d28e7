"""Frames as a dataset reads them, each checked by itself and all of a scene against each other.

Everything that is computed from a scene goes through here, so that a loader's mistake is an error
with its file, scene and frame, and never a number.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data import reprojection
from bench3r.data.poses import TOLERANCE, check_rotation
from bench3r.data.reprojection import Agreement

EXACT = 1e-6  # by which an entry that is 0 or 1 by definition may miss it
SKEW = 1e-3  # share of the focal length up to which a skew is passed over, as all formulas do
SHORTEST = 0.05  # focal length in image widths, below which it is hardly in pixels


def read_frame(dataset: Dataset, scene: str, name: str) -> Frame:
    """Frame ``name`` of ``scene``.

    Raises Bench3RError naming dataset, scene and frame when it is damaged, or no frame as
    :class:`Frame` describes it.
    """
    frame = dataset.read(scene, name)
    where = f"{dataset.name} {scene}, frame {name}"
    problem = next(_problems(frame, dataset.has_pose), None)
    if problem:
        raise Bench3RError(f"{where}: {problem}")
    if dataset.has_pose:
        check_rotation(frame.c2w, where)
    return frame


def _problems(frame: Frame, has_pose: bool) -> Iterator[str]:
    """What is wrong with a frame, the pose's rotation apart."""
    image = frame.image
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        yield f"the image is {image.dtype} {list(image.shape)}, expected uint8 [H, W, 3]"
        return
    yield from _depth_problems(frame)
    for name, array, shape in (("K", frame.intrinsics, (3, 3)), ("c2w", frame.c2w, (4, 4))):
        if array.shape != shape:
            yield f"{name} is {list(array.shape)}, expected {list(shape)}"
            return
    if has_pose:
        yield from _camera_problems(frame)


def _depth_problems(frame: Frame) -> Iterator[str]:
    depth = frame.depth
    if depth is None:
        return
    height, width = frame.image.shape[:2]
    if depth.shape != (height, width):
        sizes = f"{list(depth.shape)}, the image is {[height, width]}"
        yield f"z-depth and image differ in size: z-depth is {sizes}"
    elif not np.isfinite(depth).all():
        yield "z-depth is not finite everywhere (unknown is 0)"
    elif (depth < 0).any():
        yield "z-depth is negative somewhere (unknown is 0)"


def _camera_problems(frame: Frame) -> Iterator[str]:
    """What is wrong with the intrinsics, and with the last row of the pose."""
    k = frame.intrinsics
    shown = np.round(k.astype(float), 3).tolist()
    height, width = frame.image.shape[:2]
    if not np.isfinite(k).all():
        yield f"K is not finite: {shown}"
    elif np.abs(k[2] - [0, 0, 1]).max() > EXACT:
        hint = "; it looks transposed" if np.abs(k[:, 2] - [0, 0, 1]).max() <= EXACT else ""
        yield f"K's last row must be [0, 0, 1]{hint}: {shown}"
    elif not (k[0, 0] > 0 and k[1, 1] > 0):
        yield f"K's focal lengths must be positive: {shown}"
    elif abs(k[1, 0]) > EXACT or abs(k[0, 1]) > SKEW * k[0, 0]:
        yield f"K has a skew, which no method here knows: {shown}"
    elif k[0, 0] < SHORTEST * width or k[1, 1] < SHORTEST * height:
        yield f"K's focal lengths must be in pixels of a {width} x {height} image: {shown}"
    elif not (-width < k[0, 2] < 2 * width and -height < k[1, 2] < 2 * height):
        yield f"K's principal point lies far outside the {width} x {height} image: {shown}"
    if np.abs(frame.c2w[3] - [0, 0, 0, 1]).max() > TOLERANCE:
        yield f"the pose's last row must be [0, 0, 0, 1]: {np.round(frame.c2w, 3).tolist()}"


def check_frames(dataset: Dataset, scene: str, names: list[str], frames: list[Frame]) -> Agreement:
    """How well z-depth and poses of ``frames``, called ``names``, of ``scene`` agree.

    Where no two of them overlap, each is compared with the frames that follow it in the scene.
    Raises Bench3RError when they disagree, when nothing could be compared though there is z-depth,
    and when some of the frames have z-depth and some have not.
    """
    where = f"{dataset.name} {scene}"
    without = [name for name, frame in zip(names, frames, strict=True) if frame.depth is None]
    if without and len(without) < len(frames):
        raise Bench3RError(f"{where}, frame {without[0]}: no z-depth, while other frames have it")
    if not dataset.has_pose:
        return Agreement(None, 0, "not checked: no poses")
    return reprojection.check(frames, where, lambda: _followed(dataset, scene, names, frames))


def _followed(
    dataset: Dataset, scene: str, names: list[str], frames: list[Frame]
) -> list[list[Frame]]:
    """Each of ``frames`` with those that follow it (or go before the last ones) in ``scene``."""
    every = dataset.frames(scene)
    groups = []
    for name, frame in zip(names, frames, strict=True):
        start = max(0, min(every.index(name) + 1, len(every) - reprojection.NEIGHBOURS))
        near = [n for n in every[start : start + reprojection.NEIGHBOURS] if n != name]
        groups.append([frame, *(read_frame(dataset, scene, n) for n in near)])
    return groups
