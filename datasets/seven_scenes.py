"""7-Scenes (Shotton et al. 2013).

SCENE/seq-XX/frame-XXXXXX.color.png, frame-XXXXXX.depth.png and frame-XXXXXX.pose.txt.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import read_matrix
from bench3r.data.formats.images import read_depth_png, read_image
from bench3r.data.poses import check_rotation, pinhole

SIZE = (480, 640)  # height and width of all images
CENTRE = (320.0, 240.0)  # cx, cy of both cameras
DEPTH_FOCAL = 585.0
COLOUR_FOCAL = 525.0
SCALE = 1000  # depth values per metre
NO_DEPTH = (0, 65535)


def to_depth_camera(image: np.ndarray) -> np.ndarray:
    """The part of a colour image [480, 640, 3] that the depth camera sees, at the same size."""
    ratio = COLOUR_FOCAL / DEPTH_FOCAL  # the narrower field of view
    cx, cy = CENTRE
    box = (cx - cx * ratio, cy - cy * ratio, cx + cx * ratio, cy + cy * ratio)
    height, width = SIZE
    picture = Image.fromarray(image)
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box))


def number(frame: str) -> int:
    """N of "frame-N"."""
    return int(frame.split("-")[1])


class SevenScenes(Dataset):
    """Indoor RGB-D of a Kinect. Depth in millimetres, 0 and 65535 = none; camera-to-world poses.

    The raw depth belongs to a camera of focal length 585 px, the colour images to one of about 525
    px; the release has no calibration between them. Depth is used as the reference, as in the
    field: the colour image is cropped to the depth camera's field of view and resized, so both
    share f = 585.
    """

    name = "seven_scenes"
    label = "7-Scenes"
    scene_type = "indoor"
    licence = "Microsoft Research licence, non-commercial"
    obtain = (
        "Download the scenes of the RGB-D Dataset 7-Scenes from Microsoft Research and unzip their "
        "seq-XX.zip files."
    )

    def scenes(self) -> list[str]:
        folders = filter(lambda path: path.is_dir(), self.root.glob("*/seq-*"))
        return sorted(str(folder.relative_to(self.root)) for folder in folders)

    def frames(self, scene: str) -> list[str]:
        files = (self.root / scene).glob("frame-*.pose.txt")
        stems = [path.name.removesuffix(".pose.txt") for path in files]
        stems.sort(key=number)
        return [stem for stem in stems if np.isfinite(self._pose(scene, stem)).all()]

    def _pose(self, scene: str, frame: str) -> np.ndarray:
        return read_matrix(self.root / scene / f"{frame}.pose.txt", (4, 4))

    def read(self, scene: str, frame: str) -> Frame:
        folder = self.root / scene
        pose = self._pose(scene, frame)
        check_rotation(pose, str(folder / f"{frame}.pose.txt"))
        depth = read_depth_png(folder / f"{frame}.depth.png", SCALE, NO_DEPTH)
        picture = folder / f"{frame}.color.png"
        if not picture.exists():
            picture = picture.with_suffix(".jpg")
        image = read_image(picture)
        if depth.shape != SIZE or image.shape[:2] != SIZE:
            raise Bench3RError(
                f"{folder / frame}: colour {image.shape[:2]} and depth {depth.shape}, "
                f"expected {SIZE}"
            )
        k = pinhole(DEPTH_FOCAL, DEPTH_FOCAL, *CENTRE)
        return Frame(to_depth_camera(image), k, pose, depth)
