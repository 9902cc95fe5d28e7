"""RealEstate10K (Zhou et al. 2018), pose only, as Pi3 gathers it: SEQUENCE/{images/, annotations.json}."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import inside
from bench3r.data.formats.images import read_image
from bench3r.data.poses import check_rotation
from bench3r.files import read_json


class RealEstate10K(Dataset):
    """Videos of houses; poses by SLAM, up to scale. Frames are places in the annotation list."""

    name = "re10k"
    label = "RealEstate10K"
    scene_type = "real-world"
    unit = "arbitrary"
    has_depth = False
    licence = "cameras CC BY 4.0; the videos are YouTube's"
    obtain = "Fetch the videos of https://google.github.io/realestate10k and write images/ and annotations.json per sequence."

    def scenes(self) -> list[str]:
        return sorted(p.parent.name for p in self.root.glob("*/annotations.json"))

    def _rows(self, scene: str) -> list[dict[str, Any]]:
        path = self.root / scene / "annotations.json"
        rows = read_json(path)
        if not isinstance(rows, list):
            raise Bench3RError(f"{path}: expected a list of frames, found {type(rows).__name__}")
        return rows

    def frames(self, scene: str) -> list[str]:
        return [str(n) for n in range(len(self._rows(scene)))]

    def read(self, scene: str, frame: str) -> Frame:
        rows, where = self._rows(scene), f"{self.root / scene / 'annotations.json'}, frame {frame}"
        try:
            row = rows[int(frame)]
            k, w2c = (
                np.array(row["intrinsics"], float).reshape(3, 3),
                np.array(row["extrinsics"], float).reshape(4, 4),
            )
            path = Path(row["filepath"])
        except (IndexError, KeyError, ValueError, TypeError) as error:
            raise Bench3RError(
                f"{where}: expected filepath, intrinsics 3x3 and extrinsics 4x4 ({error!r})"
            ) from error
        check_rotation(w2c, where)
        folder = self.root / scene
        places = (
            () if path.is_absolute() else (inside(folder, str(path)), inside(self.root, str(path)))
        )
        image = read_image(next((p for p in places if p.exists()), folder / "images" / path.name))
        return Frame(image, k, np.linalg.inv(w2c))
