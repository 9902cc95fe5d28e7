"""Neural RGB-D (Azinović et al. 2022): SCENE/{images/imgN.png, depth/depthN.png, poses.txt, focal.txt}. Synthetic."""

from __future__ import annotations

import re

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import read_numbers
from bench3r.data.formats.images import read_depth_png, read_image
from bench3r.data.poses import check_rotation, opengl_to_opencv

FARTHEST = 10.0  # metres; what lies beyond is dropped in every published protocol


class NRGBD(Dataset):
    """Rendered indoor scenes. Depth in millimetres (0 = none), camera-to-world poses with OpenGL axes, some of them nan.

    Clean ``depth/`` is read, not ``depth_filtered/``; ``poses.txt``, not ``trainval_poses.txt``.
    """

    name = "nrgbd"
    label = "NRGBD"
    scene_type = "indoor"
    licence = "scenes by their authors (CC-BY, CC-0)"
    obtain = (
        "Download http://kaldir.vc.in.tum.de/neural_rgbd/neural_rgbd_data.zip (7 GB) and unzip it."
    )

    def scenes(self) -> list[str]:
        return sorted(
            p.name
            for p in self.root.iterdir()
            if (p / "poses.txt").is_file() and (p / "images").is_dir()
        )

    def frames(self, scene: str) -> list[str]:
        numbers = (
            int(m[1])
            for p in (self.root / scene / "images").iterdir()
            if (m := re.fullmatch(r"img(\d+)\.png", p.name))
        )
        poses = self._poses(scene)
        return [str(n) for n in sorted(numbers) if n < len(poses) and np.isfinite(poses[n]).all()]

    def _poses(self, scene: str) -> np.ndarray:
        """[N, 4, 4]."""
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
        depth = read_depth_png(folder / "depth" / f"depth{frame}.png", 1000)
        image = read_image(folder / "images" / f"img{frame}.png")
        focal = float(read_numbers(folder / "focal.txt")[0])
        h, w = image.shape[:2]
        k = np.array([[focal, 0, w / 2], [0, focal, h / 2], [0, 0, 1]])
        return Frame(image, k, pose, np.where(depth > FARTHEST, 0, depth))
