"""DTU64 (Depth-Anything-3's and Lite3R's pose test): Cameras/NNNNNNNN_cam.txt shared by all scans, scanN/image/*.png.

Images and cameras only: metrics that need depth are absent, not zero. The camera of an image is found by its number.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.images import read_image
from bench3r.data.formats.mvsnet import read_cam, write_cam
from bench3r.data.poses import check_rotation


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
        names = [
            p.name
            for p in self.root.iterdir()
            if p.name.startswith("scan") and (p / "image").is_dir()
        ]
        return sorted(names, key=lambda n: (int(n[4:]) if n[4:].isdigit() else 0, n))

    def frames(self, scene: str) -> list[str]:
        images = (p.stem for p in (self.root / scene / "image").glob("*.png"))
        return sorted((s for s in images if s.isdigit()), key=int)

    def read(self, scene: str, frame: str) -> Frame:
        cam = self.root / "Cameras" / f"{int(frame):08d}_cam.txt"
        w2c, k = read_cam(cam)
        check_rotation(w2c, str(cam))
        path = self.root / scene / "image" / f"{frame}.png"
        image = read_image(path)
        if abs(k[0, 2] / image.shape[1] - 0.5) > 0.1:
            raise Bench3RError(
                f"{cam}: the intrinsics are for another size than {path} "
                f"(cx {k[0, 2]:.1f}, image width {image.shape[1]})"
            )
        return Frame(image, k, np.linalg.inv(w2c))

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        from bench3r.data.procedural import layout

        data = layout.generate("tabletop", seed, frames, (120, 160))
        for i in range(frames):
            number = (
                index * frames + i
            )  # cameras are shared by all scans: every scan has numbers of its own
            layout.save_image(root / scene / "image" / f"{number:06d}.png", data.views.images[i])
            w2c = np.linalg.inv(data.views.c2w[i])
            w2c[:3, 3] *= 1000
            write_cam(
                root / "Cameras" / f"{number:08d}_cam.txt",
                w2c,
                data.views.intrinsics[i],
                1000 * data.views.depth[i],
            )

    @staticmethod
    def procedural_scene_name(index: int) -> str:
        """Official-looking names above the range of the real scans."""
        return f"scan{901 + index}"
