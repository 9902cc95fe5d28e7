"""KITTI (Geiger et al. 2013), as video depth is scored.

image_gathered/DRIVE_02/*.png and groundtruth_depth_gathered/DRIVE_02/*.png.
"""

from __future__ import annotations

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import folders_with, numbered_stems
from bench3r.data.formats.images import check_same_size, read_depth_png, read_image

IMAGES = "image_gathered"
DEPTH = "groundtruth_depth_gathered"
SCALE = 256  # depth values per metre


class Kitti(Dataset):
    """Street scenes with sparse LiDAR depth.

    The layout has neither poses nor intrinsics, so only depth can be scored.
    """

    name = "kitti"
    label = "KITTI"
    scene_type = "real-world"
    has_pose = False
    largest_depth = float("inf")
    licence = "CC BY-NC-SA 3.0"
    obtain = (
        "Download data_depth_annotated from https://www.cvlibs.net/datasets/kitti and gather the "
        "first 110 frames of every validation drive in image_gathered/ and "
        "groundtruth_depth_gathered/."
    )

    def scenes(self) -> list[str]:
        folder = self.root / IMAGES
        if not folder.is_dir():
            raise Bench3RError(f"{folder}: folder is missing. {self.obtain}")
        return [name for name in folders_with(folder) if (self.root / DEPTH / name).is_dir()]

    def frames(self, scene: str) -> list[str]:
        images = numbered_stems(self.root / IMAGES / scene, "*.png")
        with_depth = numbered_stems(self.root / DEPTH / scene, "*.png")
        return [name for name in images if name in with_depth]

    def read(self, scene: str, frame: str) -> Frame:
        image = read_image(self.root / IMAGES / scene / f"{frame}.png")
        path = self.root / DEPTH / scene / f"{frame}.png"
        depth = read_depth_png(path, SCALE)
        check_same_size(depth, image, path)
        no_intrinsics = np.full((3, 3), np.nan)
        no_pose = np.full((4, 4), np.nan)
        return Frame(image, no_intrinsics, no_pose, depth)
