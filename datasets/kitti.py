"""KITTI (Geiger et al. 2013) as video depth is scored: {image, groundtruth_depth}_gathered/DRIVE_02/*.png."""

from __future__ import annotations

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.images import read_depth_png, read_image


class Kitti(Dataset):
    """Street scenes with sparse LiDAR depth. The layout has neither poses nor intrinsics, so only depth can be scored."""

    name = "kitti"
    label = "KITTI"
    scene_type = "real-world"
    has_pose = False
    largest_depth = float("inf")
    licence = "CC BY-NC-SA 3.0"
    obtain = (
        "Download data_depth_annotated from https://www.cvlibs.net/datasets/kitti and gather the first 110 frames of "
        "every validation drive in image_gathered/ and groundtruth_depth_gathered/."
    )

    def scenes(self) -> list[str]:
        folder = self.root / "image_gathered"
        if not folder.is_dir():
            raise Bench3RError(f"{folder}: folder is missing. {self.obtain}")
        return sorted(
            p.name
            for p in folder.iterdir()
            if (self.root / "groundtruth_depth_gathered" / p.name).is_dir()
        )

    def frames(self, scene: str) -> list[str]:
        kept = {p.name for p in (self.root / "groundtruth_depth_gathered" / scene).glob("*.png")}
        images = (p for p in (self.root / "image_gathered" / scene).glob("*.png") if p.name in kept)
        return sorted((p.stem for p in images), key=int)

    def read(self, scene: str, frame: str) -> Frame:
        image = read_image(self.root / "image_gathered" / scene / f"{frame}.png")
        path = self.root / "groundtruth_depth_gathered" / scene / f"{frame}.png"
        depth = read_depth_png(path, 256)
        if depth.shape != image.shape[:2]:
            raise Bench3RError(
                f"{path}: depth {depth.shape} and image {image.shape[:2]} differ in size"
            )
        return Frame(image, np.full((3, 3), np.nan), np.full((4, 4), np.nan), depth)
