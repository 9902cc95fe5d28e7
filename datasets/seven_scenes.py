"""7-Scenes (Shotton et al. 2013): SCENE/seq-XX/frame-XXXXXX.{color.png,depth.png,pose.txt}."""

from __future__ import annotations

import numpy as np
from PIL import Image

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import read_matrix
from bench3r.data.formats.images import read_depth_png, read_image
from bench3r.data.poses import check_rotation

DEPTH_FOCAL, COLOUR_FOCAL, SIZE = 585.0, 525.0, (480, 640)


class SevenScenes(Dataset):
    """Indoor RGB-D of a Kinect. Depth in millimetres, 0 and 65535 = none; camera-to-world poses.

    The raw depth belongs to a camera of focal length 585 px, the colour images to one of about 525 px; the release has
    no calibration between them. Depth is used as the reference, as in the field: the colour image is cropped to the
    depth camera's field of view and resized, so both share f = 585.
    """

    name = "seven_scenes"
    label = "7-Scenes"
    scene_type = "indoor"
    licence = "Microsoft Research licence, non-commercial"
    obtain = "Download the scenes of the RGB-D Dataset 7-Scenes from Microsoft Research and unzip their seq-XX.zip files."

    def scenes(self) -> list[str]:
        found = (p for p in self.root.glob("*/seq-*") if p.is_dir())
        return sorted(str(p.relative_to(self.root)) for p in found)

    def frames(self, scene: str) -> list[str]:
        files = (self.root / scene).glob("frame-*.pose.txt")
        stems = sorted(
            (p.name.removesuffix(".pose.txt") for p in files), key=lambda s: int(s.split("-")[1])
        )
        return [s for s in stems if np.isfinite(self._pose(scene, s)).all()]

    def _pose(self, scene: str, frame: str) -> np.ndarray:
        return read_matrix(self.root / scene / f"{frame}.pose.txt", (4, 4))

    def read(self, scene: str, frame: str) -> Frame:
        """Depth with the depth camera's intrinsics, colour cropped and resized to what that camera sees."""
        folder = self.root / scene
        pose = self._pose(scene, frame)
        check_rotation(pose, str(folder / f"{frame}.pose.txt"))
        depth = read_depth_png(folder / f"{frame}.depth.png", 1000, (0, 65535))
        path = folder / f"{frame}.color.png"
        image = read_image(path if path.exists() else folder / f"{frame}.color.jpg")
        if depth.shape != SIZE or image.shape[:2] != SIZE:
            raise Bench3RError(
                f"{folder / frame}: colour {image.shape[:2]} and depth {depth.shape}, expected {SIZE}"
            )
        k = np.array([[DEPTH_FOCAL, 0, 320.0], [0, DEPTH_FOCAL, 240.0], [0, 0, 1]])
        return Frame(_to_depth_camera(image), k, pose, depth)


def _to_depth_camera(image: np.ndarray) -> np.ndarray:
    """The part of a colour image that the depth camera sees, at the depth map's size."""
    ratio = COLOUR_FOCAL / DEPTH_FOCAL  # the narrower field of view, centred at (320, 240)
    x0, y0 = 320 - 320 * ratio, 240 - 240 * ratio
    box = (x0, y0, 320 + 320 * ratio, 240 + 240 * ratio)
    return np.asarray(Image.fromarray(image).resize(SIZE[::-1], Image.Resampling.BICUBIC, box=box))
