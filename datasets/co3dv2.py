"""CO3Dv2 (Reizenstein et al. 2021), pose only.

CATEGORY_test.jgz annotations beside CATEGORY/SEQUENCE/images/.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import TypedDict

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import inside
from bench3r.data.formats.images import read_image
from bench3r.data.poses import check_rotation, pinhole

LEAST_FRAMES = 50  # shorter sequences are not scored
LARGEST_SHIFT = 1e5  # sequences with a translation beyond were never reconstructed
FLIP = np.diag([-1.0, -1, 1])  # PyTorch3D's axes (x left, y up) to OpenCV's


class Annotation(TypedDict):
    """One frame, in PyTorch3D's conventions."""

    filepath: str
    R: list[list[float]]
    T: list[float]
    focal_length: tuple[float, float]
    principal_point: tuple[float, float]


@cache
def read_annotations(path: Path) -> dict[str, list[Annotation]]:
    """Frames by sequence of one category, as the released list orders them.

    Unusable sequences are left out. Raises Bench3RError naming a damaged file.
    """
    try:
        with gzip.open(path, "rt") as file:
            stored = json.load(file)
    except (OSError, ValueError, EOFError) as error:
        raise Bench3RError(f"{path}: unreadable annotations ({error})") from error
    if not isinstance(stored, dict):
        raise Bench3RError(
            f"{path}: expected an object of sequences, found {type(stored).__name__}"
        )
    return {name: stored[name] for name in sorted(stored) if is_usable(stored[name])}


def is_usable(frames: list[Annotation]) -> bool:
    """Whether a sequence is long enough and was reconstructed."""
    if len(frames) < LEAST_FRAMES:
        return False
    return all(abs(sum(frame["T"])) <= LARGEST_SHIFT for frame in frames)


class CO3Dv2(Dataset):
    """Turntable videos of objects; poses by COLMAP in arbitrary units.

    Frames are places in the annotation list.
    """

    name = "co3dv2"
    label = "CO3Dv2"
    scene_type = "controlled"
    unit = "arbitrary"
    has_depth = False
    licence = "CC BY-NC 4.0"
    obtain = (
        "Download CO3Dv2 (https://github.com/facebookresearch/co3d) and put VGGT's "
        "CATEGORY_test.jgz annotations into its root."
    )

    def scenes(self) -> list[str]:
        found = []
        for path in sorted(self.root.glob("*_test.jgz")):
            category = path.name.removesuffix("_test.jgz")
            for sequence in read_annotations(path):
                found.append(f"{category}/{sequence}")
        return found

    def _annotations(self, scene: str) -> list[Annotation]:
        category, _, sequence = scene.partition("/")
        path = self.root / f"{category}_test.jgz"
        sequences = read_annotations(path)
        if sequence not in sequences:
            raise Bench3RError(f"{path}: no usable sequence {sequence!r}")
        return sequences[sequence]

    def frames(self, scene: str) -> list[str]:
        return list(map(str, range(len(self._annotations(scene)))))

    def read(self, scene: str, frame: str) -> Frame:
        row = self._annotations(scene)[int(frame)]
        image = read_image(inside(self.root, str(row["filepath"])))
        w2c = np.eye(4)
        w2c[:3, :3] = (np.array(row["R"]) @ FLIP).T  # PyTorch3D multiplies row vectors
        w2c[:3, 3] = FLIP @ np.array(row["T"])
        check_rotation(w2c, f"{self.root}: {scene}, frame {frame}")
        h, w = image.shape[:2]
        unit = min(h, w) / 2  # pixels per unit of isotropic NDC, whose x and y point left and up
        fx, fy = row["focal_length"]
        px, py = row["principal_point"]
        k = pinhole(fx * unit, fy * unit, w / 2 - px * unit - 0.5, h / 2 - py * unit - 0.5)
        return Frame(image, k, np.linalg.inv(w2c))
