"""TUM RGB-D (Sturm et al. 2012): SEQUENCE/{rgb.txt, depth.txt, groundtruth.txt, rgb/, depth/}."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pycolmap

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import inside
from bench3r.data.formats.images import read_depth_png, read_image
from bench3r.data.formats.tum import associate, read_list, read_poses
from bench3r.data.poses import pose_from_quaternion
from bench3r.data.undistort import resample_depth, resample_image, undistorted

CAMERAS = {  # by the sequence's name: fx, fy, cx, cy at 640 x 480
    "freiburg1": (517.3, 516.5, 318.6, 255.3),
    "freiburg2": (520.9, 521.0, 325.1, 249.7),
    "freiburg3": (535.4, 539.2, 320.1, 247.6),
}
DISTORTIONS = {  # k1, k2, p1, p2, k3 of OpenCV; the third camera's images are published undistorted
    "freiburg1": (0.2624, -0.9531, -0.0054, 0.0026, 1.1633),
    "freiburg2": (0.2312, -0.7849, -0.0033, -0.0001, 0.9172),
}
WITHIN = 0.02  # seconds between an image, its depth map and its pose
SCALE = 5000  # depth values a metre


@cache
def matched(folder: Path) -> dict[str, tuple[str, str, tuple[float, ...]]]:
    """Image file, depth file and pose (t, quaternion xyzw) by the image's timestamp, in temporal order."""
    images, maps = read_list(folder / "rgb.txt"), read_list(folder / "depth.txt")
    poses = read_poses(folder / "groundtruth.txt")
    depth_of, pose_of = (
        associate([t for t, _ in images], [t for t, _ in other], WITHIN) for other in (maps, poses)
    )
    return {
        Path(name).stem: (name, maps[depth_of[i]][1], poses[pose_of[i]][1])
        for i, (_, name) in enumerate(images)
        if i in depth_of and i in pose_of
    }


@cache
def without_distortion(camera: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`bench3r.data.undistort.undistorted` for a ``camera`` whose images have ``size`` (H, W)."""
    fx, fy, cx, cy = (v * size[1] / 640 for v in CAMERAS[camera])
    parameters = [fx, fy, cx + 0.5, cy + 0.5, *DISTORTIONS[camera], 0, 0, 0]
    lens = pycolmap.Camera(model="FULL_OPENCV", width=size[1], height=size[0], params=parameters)
    return undistorted(lens, size)


class TumRgbd(Dataset):
    """Indoor RGB-D with motion capture. Images, depth maps and poses are matched by time (nearest within 20 ms).

    The lenses of freiburg1 and freiburg2 distort; it is removed here from images and depth, which are registered. Published
    protocols leave it in, and so does ``intrinsics: pi3``.
    """

    name = "tum"
    label = "TUM RGB-D"
    scene_type = "indoor"
    licence = "CC BY 4.0"
    obtain = "Download sequences from https://cvg.cit.tum.de/data/datasets/rgbd-dataset and unpack them side by side."

    def scenes(self) -> list[str]:
        return sorted(
            p.name
            for p in self.root.iterdir()
            if (p / "groundtruth.txt").is_file() and (p / "rgb.txt").is_file()
        )

    def frames(self, scene: str) -> list[str]:
        return list(matched(self.root / scene))

    def _camera(self, scene: str) -> str:
        for name in CAMERAS:
            if name in scene:
                return name
        raise Bench3RError(
            f"{self.root / scene}: the name says no camera: expected one of {', '.join(CAMERAS)} in it"
        )

    def read(self, scene: str, frame: str) -> Frame:
        folder, known = self.root / scene, matched(self.root / scene)
        if frame not in known:
            raise Bench3RError(
                f"{folder}: image {frame} has no depth map or pose within {WITHIN} s"
            )
        image_file, depth_file, pose = known[frame]
        image, depth = (
            read_image(inside(folder, image_file)),
            read_depth_png(inside(folder, depth_file), SCALE),
        )
        if depth.shape != image.shape[:2]:
            raise Bench3RError(
                f"{folder / depth_file}: depth {depth.shape} and image {image.shape[:2]} differ in size"
            )
        c2w = pose_from_quaternion(pose, f"{folder / 'groundtruth.txt'}, near {frame}")
        camera = self._camera(scene)
        if camera in DISTORTIONS and self.intrinsics == "exact":
            k, where = without_distortion(camera, depth.shape)
            return Frame(resample_image(image, where), k.copy(), c2w, resample_depth(depth, where))
        fx, fy, cx, cy = (v * image.shape[1] / 640 for v in CAMERAS[camera])
        return Frame(image, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), c2w, depth)
