"""From a dataset's files to the views of a scene as a model sees them."""

from __future__ import annotations

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import SceneData
from bench3r.data import reprojection
from bench3r.data.resize import resize_frame, target_size


def load_scene(
    dataset: Dataset, scene: str, frames: list[str], model_width: int, patch: int
) -> SceneData:
    """Read, check (reprojection gate) and resize ``frames`` of ``scene``.

    Raises Bench3RError when sizes differ, a frame is broken, or depth and poses disagree.
    """

    raw = [dataset.read(scene, frame) for frame in frames]
    if dataset.has_pose:
        reprojection.check(raw, f"{dataset.name} {scene}")
    targets = [target_size(v.image.shape[0], v.image.shape[1], model_width, patch) for v in raw]
    views = [
        resize_frame(v, size, dataset.intrinsics) for v, size in zip(raw, targets, strict=True)
    ]
    sizes = {v.image.shape for v in views}
    if len(sizes) > 1:
        raise Bench3RError(
            f"{dataset.name} {scene}: frames have different sizes after resizing: {sorted(sizes)}"
        )
    maps = [v.depth for v in views if v.depth is not None]
    depth = np.stack(maps) if len(maps) == len(views) else None
    reach = dataset.icp_distance
    if dataset.unit == "arbitrary" and depth is not None and (depth > 0).any():
        reach *= float(np.median(depth[depth > 0]))
    return SceneData(
        scene,
        tuple(frames),
        np.stack([v.image for v in views]),
        np.stack([v.intrinsics for v in views]),
        np.stack([v.c2w for v in views]),
        depth,
        dataset.unit,
        dataset.scene_type,
        reach,
    )
