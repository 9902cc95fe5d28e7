"""TUM RGB-D (Sturm et al. 2012).

SEQUENCE/{rgb.txt, depth.txt, groundtruth.txt}, which list SEQUENCE/rgb/ and SEQUENCE/depth/.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import folders_with, inside
from bench3r.data.formats.images import check_same_size, read_depth_png, read_image
from bench3r.data.formats.tum import associate, read_list, read_poses
from bench3r.data.poses import pinhole, pose_from_quaternion
from bench3r.data.undistort import resample_depth, resample_image, undistorted

CAMERAS = {  # by the sequence's name: fx, fy, cx, cy
    "freiburg1": (517.3, 516.5, 318.6, 255.3),
    "freiburg2": (520.9, 521.0, 325.1, 249.7),
    "freiburg3": (535.4, 539.2, 320.1, 247.6),
}
WIDTH = 640  # of the images that CAMERAS are for
DISTORTIONS = {  # k1, k2, p1, p2, k3 of OpenCV; the third camera's images are published undistorted
    "freiburg1": (0.2624, -0.9531, -0.0054, 0.0026, 1.1633),
    "freiburg2": (0.2312, -0.7849, -0.0033, -0.0001, 0.9172),
}
WITHIN = 0.02  # seconds between an image, its depth map and its pose
SCALE = 5000  # depth values per metre


class Match(NamedTuple):
    """What was taken at the time of an image."""

    image: str  # file
    depth: str  # file
    pose: tuple[float, ...]  # translation, quaternion xyzw


@cache
def matched(folder: Path) -> dict[str, Match]:
    """Images that have a depth map and a pose, by their timestamp, in temporal order.

    Raises Bench3RError naming a damaged list.
    """
    images = read_list(folder / "rgb.txt")
    maps = read_list(folder / "depth.txt")
    poses = read_poses(folder / "groundtruth.txt")
    depth_of = associate(images, maps, WITHIN)
    pose_of = associate(images, poses, WITHIN)
    found = {}
    for i, image in enumerate(images):
        if i in depth_of and i in pose_of:
            pose = poses[pose_of[i]].values
            found[Path(image.name).stem] = Match(image.name, maps[depth_of[i]].name, pose)
    return found


def intrinsics_at(camera: str, width: int) -> np.ndarray:
    """fx, fy, cx and cy [4] of ``camera`` for images of ``width``."""
    return np.array(CAMERAS[camera]) * width / WIDTH


@cache
def without_distortion(camera: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics [3, 3] of a pinhole view of ``size`` (H, W), and where its pixels lie [2, H, W].

    As :func:`bench3r.data.undistort.undistorted`, for one of the cameras.
    """
    height, width = size
    fx, fy, cx, cy = intrinsics_at(camera, width)
    parameters = [fx, fy, cx + 0.5, cy + 0.5, *DISTORTIONS[camera], 0, 0, 0]
    lens = pycolmap.Camera(model="FULL_OPENCV", width=width, height=height, params=parameters)
    return undistorted(lens, size)


class TumRgbd(Dataset):
    """Indoor RGB-D with motion capture.

    Images, depth maps and poses are matched by time (nearest within 20 ms). The lenses of freiburg1
    and freiburg2 distort; it is removed here from images and depth, which are registered. Published
    protocols leave it in, and so does ``intrinsics: pi3``.
    """

    name = "tum"
    label = "TUM RGB-D"
    scene_type = "indoor"
    licence = "CC BY 4.0"
    obtain = (
        "Download sequences from https://cvg.cit.tum.de/data/datasets/rgbd-dataset and unpack them "
        "side by side."
    )

    def scenes(self) -> list[str]:
        return folders_with(self.root, "groundtruth.txt", "rgb.txt")

    def frames(self, scene: str) -> list[str]:
        return list(matched(self.root / scene))

    def _camera(self, scene: str) -> str:
        for camera in CAMERAS:
            if camera in scene:
                return camera
        raise Bench3RError(
            f"{self.root / scene}: the name says no camera: expected one of "
            f"{', '.join(CAMERAS)} in it"
        )

    def read(self, scene: str, frame: str) -> Frame:
        folder = self.root / scene
        frames = matched(folder)
        if frame not in frames:
            raise Bench3RError(
                f"{folder}: image {frame} has no depth map or pose within {WITHIN} s"
            )
        found = frames[frame]
        image = read_image(inside(folder, found.image))
        depth = read_depth_png(inside(folder, found.depth), SCALE)
        check_same_size(depth, image, folder / found.depth)
        c2w = pose_from_quaternion(found.pose, f"{folder / 'groundtruth.txt'}, near {frame}")
        camera = self._camera(scene)
        if camera in DISTORTIONS and self.intrinsics == "exact":
            k, where = without_distortion(camera, depth.shape)
            return Frame(resample_image(image, where), k.copy(), c2w, resample_depth(depth, where))
        return Frame(image, pinhole(*intrinsics_at(camera, image.shape[1])), c2w, depth)
