"""DTU64, the pose test of Depth-Anything-3 and Lite3R.

scanN/image/*.png and Cameras/NNNNNNNN_cam.txt, shared by all scans. Images and cameras only:
metrics that need depth are absent, not zero. The camera of an image is found by its number.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.scene import Frame
from bench3r.data.formats.files import folders_with, numbered_stems
from bench3r.data.formats.images import read_image
from bench3r.data.formats.mvsnet import check_centre, read_cam, write_cam
from bench3r.data.poses import check_rotation


def scan_order(name: str) -> tuple[int, str]:
    """Scans by their number; others first."""
    number = name.removeprefix("scan")
    return (int(number) if number.isdecimal() else 0, name)


class DTU64(Dataset):
    """Thirteen scans of DTU at up to 64 views; millimetres, world-to-camera files, no depth."""

    name = "dtu64"
    label = "DTU64"
    scene_type = "controlled"
    unit = "mm"
    icp_distance = 100.0
    has_depth = False
    licence = "free for research with citation"
    obtain = "Data: dtu64.zip at https://huggingface.co/datasets/depth-anything/DA3-BENCH (1.7 GB)."
    procedural_style = "tabletop"

    def scenes(self) -> list[str]:
        folders = folders_with(self.root, "image")
        scans = [name for name in folders if name.startswith("scan")]
        return sorted(scans, key=scan_order)

    def frames(self, scene: str) -> list[str]:
        return numbered_stems(self.root / scene / "image", "*.png")

    def read(self, scene: str, frame: str) -> Frame:
        camera = self.root / "Cameras" / f"{int(frame):08d}_cam.txt"
        w2c, k = read_cam(camera)
        check_rotation(w2c, str(camera))
        image = read_image(self.root / scene / "image" / f"{frame}.png")
        check_centre(k, image, camera)
        return Frame(image, k, np.linalg.inv(w2c))

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        from bench3r.data.procedural import layout

        views = layout.generate("tabletop", seed, frames, (120, 160)).views
        first = index * frames  # cameras are shared by all scans: every scan has its own numbers
        for i in range(frames):
            image = root / scene / "image" / f"{first + i:06d}.png"
            layout.save_image(image, views.images[i])
            camera = root / "Cameras" / f"{first + i:08d}_cam.txt"
            w2c = layout.world_to_camera(views.c2w[i], 1000)
            write_cam(camera, w2c, views.intrinsics[i], 1000 * views.depth[i])

    @staticmethod
    def procedural_scene_name(index: int) -> str:
        """Official-looking names above the range of the real scans."""
        return f"scan{901 + index}"
