"""MegaDepth (Li and Snavely 2018), for training, as DUSt3R prepares it: SCENE/SUB/NAME.{jpg, npy or exr, npz}."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.images import read_depth_npy, read_image
from bench3r.data.poses import check_rotation
from bench3r.files import read_npz


def read_exr(path: Path) -> np.ndarray:
    """The only channel [H, W] of an OpenEXR file. Raises Bench3RError naming the file, or the package that is needed."""
    try:
        import OpenEXR
    except ImportError as error:
        raise Bench3RError(
            f"{path}: reading .exr needs OpenEXR: pip install 'bench3r[exr]', or convert to .npy"
        ) from error
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: np.array(channel.pixels) for name, channel in file.channels().items()}
    except Exception as error:  # the binding raises RuntimeError and its own types
        raise Bench3RError(f"{path}: unreadable depth map ({error})") from error
    if len(channels) != 1:
        raise Bench3RError(
            f"{path}: expected one channel, found {', '.join(sorted(channels)) or 'none'}"
        )
    return next(iter(channels.values()))


class MegaDepth(Dataset):
    """Tourist photographs with COLMAP poses and semi-dense depth, arbitrary scale per scene; images differ in size.

    Depth is read from .exr (needs the extra ``exr``) or from .npy of the same name. Values that are not positive are labels
    or holes.
    """

    name = "megadepth"
    label = "MegaDepth"
    scene_type = "real-world"
    unit = "arbitrary"
    licence = "CC BY 4.0 (annotations); photographs under their own licences"
    obtain = "Download https://www.cs.cornell.edu/projects/megadepth and run DUSt3R's preprocess_megadepth.py."

    def scenes(self) -> list[str]:
        found = {p.parent for p in self.root.glob("*/*/*.npz")}
        return sorted(str(p.relative_to(self.root)) for p in found)

    def frames(self, scene: str) -> list[str]:
        return sorted(p.stem for p in (self.root / scene).glob("*.npz"))

    def read(self, scene: str, frame: str) -> Frame:
        folder = self.root / scene
        path = folder / f"{frame}.npz"
        arrays = read_npz(path)
        if not {"intrinsics", "cam2world"} <= arrays.keys():
            raise Bench3RError(
                f"{path}: expected intrinsics and cam2world, found {', '.join(arrays)}"
            )
        pose = arrays["cam2world"].astype(np.float64)
        check_rotation(pose, str(path))
        return Frame(
            read_image(folder / f"{frame}.jpg"),
            arrays["intrinsics"].astype(np.float64),
            pose,
            self._depth(folder, frame),
        )

    def _depth(self, folder: Path, frame: str) -> np.ndarray:
        path = folder / f"{frame}.npy"
        exr = path.with_suffix(".exr")
        if not path.exists() and not exr.exists():
            raise Bench3RError(f"{path}: depth map is missing, here and as .exr")
        depth = read_depth_npy(path) if path.exists() else read_exr(exr)
        return np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)
