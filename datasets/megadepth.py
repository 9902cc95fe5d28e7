"""MegaDepth (Li and Snavely 2018), for training, as DUSt3R prepares it.

SCENE/SUB/NAME.jpg, NAME.npz (intrinsics, cam2world) and depth as NAME.exr or NAME.npy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.exr import read_exr
from bench3r.data.formats.images import known_depth, read_depth_npy, read_image
from bench3r.data.poses import check_rotation
from bench3r.files import read_npz


class MegaDepth(Dataset):
    """Tourist photographs with COLMAP poses and semi-dense depth; images differ in size.

    Every scene has its own arbitrary scale. Depth is read from .exr (needs the extra ``exr``) or
    from .npy of the same name; values that are not positive are labels, or unknown.
    """

    name = "megadepth"
    label = "MegaDepth"
    scene_type = "real-world"
    unit = "arbitrary"
    licence = "CC BY 4.0 (annotations); photographs under their own licences"
    obtain = (
        "Download https://www.cs.cornell.edu/projects/megadepth and run DUSt3R's "
        "preprocess_megadepth.py."
    )

    def scenes(self) -> list[str]:
        folders = {path.parent for path in self.root.glob("*/*/*.npz")}
        return sorted(str(folder.relative_to(self.root)) for folder in folders)

    def frames(self, scene: str) -> list[str]:
        return sorted(path.stem for path in (self.root / scene).glob("*.npz"))

    def read(self, scene: str, frame: str) -> Frame:
        folder = self.root / scene
        path = folder / f"{frame}.npz"
        arrays = read_npz(path)
        if not {"intrinsics", "cam2world"} <= arrays.keys():
            raise Bench3RError(
                f"{path}: expected intrinsics and cam2world, found {', '.join(arrays)}"
            )
        k = arrays["intrinsics"].astype(np.float64)
        pose = arrays["cam2world"].astype(np.float64)
        check_rotation(pose, str(path))
        image = read_image(folder / f"{frame}.jpg")
        return Frame(image, k, pose, self._depth(folder, frame))

    def _depth(self, folder: Path, frame: str) -> np.ndarray:
        array = folder / f"{frame}.npy"
        exr = folder / f"{frame}.exr"
        if array.exists():
            return known_depth(read_depth_npy(array))
        if exr.exists():
            return known_depth(read_exr(exr))
        raise Bench3RError(f"{array}: depth map is missing, here and as .exr")
