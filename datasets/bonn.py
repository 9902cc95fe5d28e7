"""Bonn RGB-D Dynamic (Palazzolo et al. 2019), as it is scored.

SEQUENCE/rgb_110/*.png, SEQUENCE/depth_110/*.png and SEQUENCE/groundtruth_110.txt, by index.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import folders_with
from bench3r.data.formats.images import read_depth_png, read_image
from bench3r.data.formats.tum import TimedPose, read_poses
from bench3r.data.poses import pinhole, pose_from_quaternion

CAMERA = np.array([542.822841, 542.576870, 315.593520, 237.756098])  # fx, fy, cx, cy
WIDTH = 640  # of the images that CAMERA is for
SCALE = 5000  # depth values per metre


class Bonn(Dataset):
    """Indoor RGB-D with moving people.

    The scored layout pairs images, depth maps and poses by their place in the list, not by time, so
    they may be out of step by a frame; static-scene checks do not hold where people move.
    """

    name = "bonn"
    label = "Bonn"
    scene_type = "indoor"
    largest_depth = 70.0
    licence = "none stated; research use"
    obtain = (
        "Download https://www.ipb.uni-bonn.de/data/rgbd-dynamic-dataset and gather frames 30 to "
        "139 of each sequence in rgb_110/, depth_110/ and groundtruth_110.txt."
    )

    def scenes(self) -> list[str]:
        return folders_with(self.root, "rgb_110", "depth_110")

    def frames(self, scene: str) -> list[str]:
        return list(map(str, range(self._count(scene))))

    def _count(self, scene: str) -> int:
        """How many frames have an image, a depth map and a pose."""
        images = self._files(scene, "rgb_110")
        maps = self._files(scene, "depth_110")
        return min(len(images), len(maps), len(self._poses(scene)))

    def _files(self, scene: str, folder: str) -> list[Path]:
        return sorted((self.root / scene / folder).glob("*.png"))

    def _poses(self, scene: str) -> list[TimedPose]:
        return read_poses(self.root / scene / "groundtruth_110.txt")

    def read(self, scene: str, frame: str) -> Frame:
        number = int(frame)
        count = self._count(scene)
        if number >= count:
            raise Bench3RError(
                f"{self.root / scene}: no frame {number}: {count} have an image, a depth map "
                "and a pose"
            )
        image = read_image(self._files(scene, "rgb_110")[number])
        depth = read_depth_png(self._files(scene, "depth_110")[number], SCALE)
        where = f"{self.root / scene / 'groundtruth_110.txt'}, row {number + 1}"
        pose = pose_from_quaternion(self._poses(scene)[number].values, where)
        fx, fy, cx, cy = CAMERA * image.shape[1] / WIDTH
        return Frame(image, pinhole(fx, fy, cx, cy), pose, depth)
