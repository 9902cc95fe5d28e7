"""From a dataset's files to the views of a scene as a model sees them."""

from __future__ import annotations

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame, SceneData
from bench3r.data.frames import check_frames, read_frame
from bench3r.data.prepared import Prepared, SceneItem, open_prepared
from bench3r.data.resize import resize_frame, target_size


class SceneLoader:
    """The scenes of a prepared dataset at the size of one network, for one job.

    A reading costs seconds and its reprojection check costs as much again, so frames that passed
    when they were prepared are not checked a second time, nor are any where ``predicted`` says that
    a prediction of them exists.
    """

    def __init__(self, prepared: Prepared, width: int, patch: int, predicted: bool = False) -> None:
        self.dataset = open_prepared(prepared)
        self.width = width
        self.patch = patch
        self._predicted = predicted
        self._passed: dict[str, set[str]] = {}  # the frames that passed, by the item's id
        for item in prepared.longest():
            found = prepared.checks.get(item.id)
            if found and found.ok:
                self._passed[item.id] = set(item.frames)

    def load(self, item: SceneItem) -> SceneData:
        """The views of ``item``. Raises Bench3RError as :func:`load_scene` does."""
        passed = self._predicted or set(item.frames) == self._passed.get(item.id)
        return load_scene(
            self.dataset, item.scene, item.frames, self.width, self.patch, check=not passed
        )


def load_scene(
    dataset: Dataset,
    scene: str,
    frames: list[str],
    model_width: int,
    patch: int,
    *,
    check: bool = True,
) -> SceneData:
    """Read, check (reprojection, unless ``check`` is False) and resize ``frames`` of ``scene``.

    Raises Bench3RError when sizes differ, a frame is broken, or depth and poses disagree.
    """
    where = f"{dataset.name} {scene}"
    raw = [read_frame(dataset, scene, frame) for frame in frames]
    if check:
        check_frames(dataset, scene, frames, raw)
    views = []
    for frame in raw:
        height, width = frame.image.shape[:2]
        size = target_size(height, width, model_width, patch)
        views.append(resize_frame(frame, size, dataset.intrinsics))
    sizes = {v.image.shape for v in views}
    if len(sizes) > 1:
        raise Bench3RError(f"{where}: frames differ in size after resizing: {sorted(sizes)}")
    return _gathered(dataset, scene, frames, views)


def _gathered(dataset: Dataset, scene: str, frames: list[str], views: list[Frame]) -> SceneData:
    """The ``views`` of one size, which are called ``frames``, as one scene."""
    maps = [v.depth for v in views if v.depth is not None]
    depth = np.stack(maps) if len(maps) == len(views) else None
    return SceneData(
        name=scene,
        frames=tuple(frames),
        images=np.stack([v.image for v in views]),
        intrinsics=np.stack([v.intrinsics for v in views]),
        c2w=np.stack([v.c2w for v in views]),
        depth=depth,
        unit=dataset.unit,
        scene_type=dataset.scene_type,
        icp_distance=_icp_distance(dataset, depth),
    )


def _icp_distance(dataset: Dataset, depth: np.ndarray | None) -> float:
    """The largest correspondence distance in ``dataset``'s unit, for views of z-depth [S, H, W]."""
    if dataset.unit != "arbitrary" or depth is None or not (depth > 0).any():
        return dataset.icp_distance
    return dataset.icp_distance * float(np.median(depth[depth > 0]))
