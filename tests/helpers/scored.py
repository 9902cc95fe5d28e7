"""Scenes in their true on-disk formats, and predictions of them that are as good as can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench3r.api.dataset import DATASETS, Dataset
from bench3r.data.load import load_scene
from bench3r.protocols.scored import Scored
from tests.helpers.layouts import WRITERS


def written(case: str, root: Path) -> Dataset:
    """The dataset of a case, with its files below ``root``."""
    name, write, _ = WRITERS[case]
    write(root)
    return DATASETS.get(name)(root)


def perfect(dataset: Dataset, scene: str, frames: list[str]) -> Scored:
    """The ground truth as if predicted, in the first camera's frame and half as large."""
    data = load_scene(dataset, scene, frames, 64, 8)
    assert data.depth is not None
    first = np.linalg.inv(data.c2w[0])
    w2c = np.linalg.inv(first @ data.c2w)
    w2c[:, :3, 3] *= 0.5
    return Scored(
        scene=data,
        depth=0.5 * data.depth.astype(float),
        extrinsics=w2c[:, :3],
        intrinsics=data.intrinsics,
        depth_conf=np.full(data.depth.shape, 5.0),
        dataset=dataset,
        patch=8,
    )
