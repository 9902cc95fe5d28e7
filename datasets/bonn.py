"""Bonn RGB-D Dynamic (Palazzolo et al. 2019) as it is scored: rgb_110/, depth_110/ and groundtruth_110.txt, by index."""

from __future__ import annotations

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.images import read_depth_png, read_image
from bench3r.data.formats.tum import read_poses
from bench3r.data.poses import pose_from_quaternion

CAMERA = (542.822841, 542.576870, 315.593520, 237.756098)  # fx, fy, cx, cy at 640 x 480
SCALE = 5000


class Bonn(Dataset):
    """Indoor RGB-D with moving people. The scored layout pairs images, depth maps and poses by their place in the list,
    not by time, so they may be out of step by a frame; static-scene checks do not hold where people move.
    """

    name = "bonn"
    label = "Bonn"
    scene_type = "indoor"
    largest_depth = 70.0
    licence = "none stated; research use"
    obtain = (
        "Download https://www.ipb.uni-bonn.de/data/rgbd-dynamic-dataset and gather frames 30 to 139 of each sequence "
        "in rgb_110/, depth_110/ and groundtruth_110.txt."
    )

    def scenes(self) -> list[str]:
        return sorted(
            p.name
            for p in self.root.iterdir()
            if (p / "rgb_110").is_dir() and (p / "depth_110").is_dir()
        )

    def frames(self, scene: str) -> list[str]:
        count = min(
            len(self._files(scene, "rgb_110")),
            len(self._files(scene, "depth_110")),
            len(self._poses(scene)),
        )
        return [str(n) for n in range(count)]

    def _files(self, scene: str, folder: str) -> list[str]:
        return sorted(p.name for p in (self.root / scene / folder).glob("*.png"))

    def _poses(self, scene: str) -> list[tuple[float, tuple[float, ...]]]:
        return read_poses(self.root / scene / "groundtruth_110.txt")

    def read(self, scene: str, frame: str) -> Frame:
        folder, number = self.root / scene, int(frame)
        images, maps, poses = (
            self._files(scene, "rgb_110"),
            self._files(scene, "depth_110"),
            self._poses(scene),
        )
        if number >= min(len(images), len(maps), len(poses)):
            raise Bench3RError(
                f"{folder}: no frame {number}: {len(images)} images, {len(maps)} depth maps, {len(poses)} poses"
            )
        image = read_image(folder / "rgb_110" / images[number])
        fx, fy, cx, cy = (v * image.shape[1] / 640 for v in CAMERA)
        k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        pose = pose_from_quaternion(
            poses[number][1], f"{folder / 'groundtruth_110.txt'}, row {number + 1}"
        )
        return Frame(image, k, pose, read_depth_png(folder / "depth_110" / maps[number], SCALE))
