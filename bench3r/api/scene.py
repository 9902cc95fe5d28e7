"""What a scene is: views with their ground truth, in one set of conventions.

Images uint8 RGB, z-depth float32 with 0 = unknown, intrinsics in pixels with integer pixel centres,
camera-to-world poses with OpenCV axes (x right, y down, z forward), all in the dataset's own unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass
class Frame:
    """One view."""

    image: np.ndarray  # [H, W, 3] uint8
    intrinsics: np.ndarray  # [3, 3]
    c2w: np.ndarray  # [4, 4]
    depth: np.ndarray | None = None  # [H, W] float32, 0 = unknown; None: the dataset has none


@dataclass
class SceneData:
    """The chosen views of one scene at the size a model sees."""

    name: str
    frames: tuple[str, ...]
    images: np.ndarray  # [S, H, W, 3] uint8
    intrinsics: np.ndarray  # [S, 3, 3]
    c2w: np.ndarray  # [S, 4, 4]
    depth: np.ndarray | None  # [S, H, W] float32
    unit: str
    scene_type: str
    icp_distance: float  # largest correspondence distance for ICP, in ``unit``


# How intrinsics follow a resize. exact: each axis by its own factor; pi3: both axes by the larger
# one, as the released evaluation of Pi3 does, whose "true" clouds of 7-Scenes, NRGBD and DTU are
# 0.9 % too narrow for it
Intrinsics = Literal["exact", "pi3"]
