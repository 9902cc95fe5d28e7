"""CO3Dv2 (Reizenstein et al. 2021), pose only: CATEGORY_test.jgz annotations beside CATEGORY/SEQUENCE/images/."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import inside
from bench3r.data.formats.images import read_image
from bench3r.data.poses import check_rotation

LEAST_FRAMES = 50  # shorter sequences are not scored
LARGEST_SHIFT = 1e5  # sequences with a translation beyond were never reconstructed


@cache
def read_annotations(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Frames by sequence of one category, as the released list orders them; unusable sequences are left out."""
    try:
        with gzip.open(path, "rt") as file:
            stored = json.load(file)
    except (OSError, ValueError, EOFError) as error:
        raise Bench3RError(f"{path}: unreadable annotations ({error})") from error
    if not isinstance(stored, dict):
        raise Bench3RError(
            f"{path}: expected an object of sequences, found {type(stored).__name__}"
        )
    return {
        name: frames
        for name, frames in sorted(stored.items())
        if len(frames) >= LEAST_FRAMES and all(abs(sum(f["T"])) <= LARGEST_SHIFT for f in frames)
    }


class CO3Dv2(Dataset):
    """Turntable videos of objects; poses by COLMAP in arbitrary units. Frames are places in the annotation list."""

    name = "co3dv2"
    label = "CO3Dv2"
    scene_type = "controlled"
    unit = "arbitrary"
    has_depth = False
    licence = "CC BY-NC 4.0"
    obtain = (
        "Download CO3Dv2 (https://github.com/facebookresearch/co3d) and put VGGT's CATEGORY_test.jgz annotations "
        "into its root."
    )

    def scenes(self) -> list[str]:
        found = []
        for path in sorted(self.root.glob("*_test.jgz")):
            category = path.name.removesuffix("_test.jgz")
            found += [f"{category}/{sequence}" for sequence in read_annotations(path)]
        return found

    def _frames(self, scene: str) -> list[dict[str, Any]]:
        category, _, sequence = scene.partition("/")
        path = self.root / f"{category}_test.jgz"
        if sequence not in read_annotations(path):
            raise Bench3RError(f"{path}: no usable sequence {sequence!r}")
        return read_annotations(path)[sequence]

    def frames(self, scene: str) -> list[str]:
        return [str(n) for n in range(len(self._frames(scene)))]

    def read(self, scene: str, frame: str) -> Frame:
        """PyTorch3D's row vectors and axes (x left, y up) become OpenCV's; isotropic NDC becomes pixels."""
        row = self._frames(scene)[int(frame)]
        image = read_image(inside(self.root, str(row["filepath"])))
        h, w = image.shape[:2]
        flip = np.diag([-1.0, -1, 1])
        w2c = np.eye(4)
        w2c[:3, :3] = (np.array(row["R"]) @ flip).T
        w2c[:3, 3] = flip @ np.array(row["T"])
        check_rotation(w2c, f"{self.root}: {scene}, frame {frame}")
        unit = min(h, w) / 2
        (fx, fy), (px, py) = row["focal_length"], row["principal_point"]
        k = np.array(
            [
                [fx * unit, 0, w / 2 - px * unit - 0.5],
                [0, fy * unit, h / 2 - py * unit - 0.5],
                [0, 0, 1],
            ]
        )
        return Frame(image, k, np.linalg.inv(w2c))
