"""Neural RGB-D (Azinović et al. 2022). Synthetic.

SCENE/images/imgN.png, SCENE/depth/depthN.png, SCENE/poses.txt and SCENE/focal.txt.
"""

from __future__ import annotations

import re

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import folders_with, read_numbers
from bench3r.data.formats.images import read_depth_png, read_image
from bench3r.data.poses import check_rotation, opengl_to_opencv, pinhole

IMAGE = re.compile(r"img(\d+)\.png")
SCALE = 1000  # depth values per metre
FARTHEST = 10.0  # metres; what lies beyond is dropped in every published protocol


class NRGBD(Dataset):
    """Rendered indoor scenes. Depth in millimetres (0 = none), camera-to-world poses.

    Poses have OpenGL axes, some of them are nan. Clean ``depth/`` is read, not ``depth_filtered/``;
    ``poses.txt``, not ``trainval_poses.txt``.
    """

    name = "nrgbd"
    label = "NRGBD"
    scene_type = "indoor"
    licence = "scenes by their authors (CC-BY, CC-0)"
    obtain = (
        "Download http://kaldir.vc.in.tum.de/neural_rgbd/neural_rgbd_data.zip (7 GB) and unzip it."
    )

    def scenes(self) -> list[str]:
        return folders_with(self.root, "poses.txt", "images")

    def frames(self, scene: str) -> list[str]:
        poses = self._poses(scene)
        numbers = []
        for path in (self.root / scene / "images").iterdir():
            found = IMAGE.fullmatch(path.name)
            number = int(found[1]) if found else len(poses)
            if number < len(poses) and np.isfinite(poses[number]).all():
                numbers.append(number)
        return list(map(str, sorted(numbers)))

    def _poses(self, scene: str) -> np.ndarray:
        """Camera to world [N, 4, 4], OpenGL axes."""
        path = self.root / scene / "poses.txt"
        values = read_numbers(path)
        if values.size % 16:
            raise Bench3RError(
                f"{path}: expected matrices of 4x4 numbers, found {values.size} numbers"
            )
        return values.reshape(-1, 4, 4)

    def read(self, scene: str, frame: str) -> Frame:
        folder = self.root / scene
        poses = self._poses(scene)
        if int(frame) >= len(poses):
            raise Bench3RError(
                f"{folder / 'poses.txt'}: no pose of frame {frame}, the file has {len(poses)}"
            )
        pose = opengl_to_opencv(poses[int(frame)])
        check_rotation(pose, f"{folder / 'poses.txt'}, frame {frame}")
        depth = read_depth_png(folder / "depth" / f"depth{frame}.png", SCALE)
        image = read_image(folder / "images" / f"img{frame}.png")
        focal = float(read_numbers(folder / "focal.txt")[0])
        h, w = image.shape[:2]
        k = pinhole(focal, focal, w / 2, h / 2)
        return Frame(image, k, pose, np.where(depth > FARTHEST, 0, depth))
