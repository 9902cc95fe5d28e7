"""RealEstate10K (Zhou et al. 2018), pose only, as Pi3 gathers it.

SEQUENCE/images/ and SEQUENCE/annotations.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import inside
from bench3r.data.formats.images import read_image
from bench3r.data.poses import check_rotation
from bench3r.files import read_json


class Annotation(TypedDict):
    """One frame of a sequence."""

    filepath: str
    intrinsics: list[list[float]]  # 3x3, pixels
    extrinsics: list[list[float]]  # 4x4, world to camera


class RealEstate10K(Dataset):
    """Videos of houses; poses by SLAM, up to scale. Frames are places in the annotation list."""

    name = "re10k"
    label = "RealEstate10K"
    scene_type = "real-world"
    unit = "arbitrary"
    has_depth = False
    licence = "cameras CC BY 4.0; the videos are YouTube's"
    obtain = (
        "Fetch the videos of https://google.github.io/realestate10k and write images/ and "
        "annotations.json per sequence."
    )

    def scenes(self) -> list[str]:
        return sorted(path.parent.name for path in self.root.glob("*/annotations.json"))

    def _annotations(self, scene: str) -> list[Annotation]:
        path = self.root / scene / "annotations.json"
        rows = read_json(path)
        if not isinstance(rows, list):
            raise Bench3RError(f"{path}: expected a list of frames, found {type(rows).__name__}")
        return rows

    def frames(self, scene: str) -> list[str]:
        return list(map(str, range(len(self._annotations(scene)))))

    def read(self, scene: str, frame: str) -> Frame:
        where = f"{self.root / scene / 'annotations.json'}, frame {frame}"
        try:
            row = self._annotations(scene)[int(frame)]
            k = np.array(row["intrinsics"], float).reshape(3, 3)
            w2c = np.array(row["extrinsics"], float).reshape(4, 4)
            path = Path(row["filepath"])
        except (IndexError, KeyError, ValueError, TypeError) as error:
            raise Bench3RError(
                f"{where}: expected filepath, intrinsics 3x3 and extrinsics 4x4 ({error!r})"
            ) from error
        check_rotation(w2c, where)
        return Frame(read_image(self._picture(scene, path)), k, np.linalg.inv(w2c))

    def _picture(self, scene: str, path: Path) -> Path:
        """The image file: ``path`` below the sequence or the root, else its name in images/."""
        folder = self.root / scene
        if not path.is_absolute():
            for place in (inside(folder, str(path)), inside(self.root, str(path))):
                if place.exists():
                    return place
        return folder / "images" / path.name
