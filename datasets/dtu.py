"""DTU (Jensen et al. 2014): MVSNet's layouts and the processed one of Spann3R, CUT3R and Pi3."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.images import read_depth_npy, read_image
from bench3r.data.formats.mvsnet import read_cam, read_pfm, write_cam, write_pairs
from bench3r.data.formats.surfaces import read_points
from bench3r.data.poses import check_rotation
from bench3r.metrics.dtu import Observation

LIGHT = 3  # of the seven lights, the one that is evaluated


def read_observation(mask: Path, plane: Path) -> Observation:
    """ObsMaskN_10.mat (ObsMask, BB, Res) and PlaneN.mat (P). Raises Bench3RError naming the file that is not so."""
    found: dict[str, np.ndarray] = {}
    for path, keys in ((mask, ("ObsMask", "BB", "Res")), (plane, ("P",))):
        try:
            stored = loadmat(path)
        except Exception as error:  # scipy raises several types for damaged files
            raise Bench3RError(f"{path}: unreadable MATLAB file ({error})") from error
        missing = [k for k in keys if k not in stored]
        if missing:
            raise Bench3RError(f"{path}: the file lacks {', '.join(missing)}")
        found |= {k: stored[k] for k in keys}
    return Observation(
        found["ObsMask"],
        found["BB"].astype(float),
        float(found["Res"].item()),
        found["P"].astype(float).ravel(),
    )


class DTU(Dataset):
    """One object on a table under controlled light; millimetres, world-to-camera files.

    Three layouts: processed, ``scanN/{images,depths,binary_masks,cams}`` with rendered z-depth; MVSNet's test set,
    ``scanN/{images,cams}`` without depth; and the evaluation set, ``Rectified/scanN/rect_NNN_3_r5000.png`` with one
    ``Cameras/`` for all scans (images count from 1, cameras from 0) and, where they are, ``Depths_raw/scanN/*.pfm``.
    """

    name = "dtu"
    label = "DTU"
    scene_type = "controlled"
    unit = "mm"
    icp_distance = 100.0
    licence = "free for research with citation"
    obtain = "Data: http://roboimagedata.compute.dtu.dk; the processed layout is described in Spann3R's documentation."
    procedural_style = "tabletop"

    @property
    def _rectified(self) -> Path | None:
        """The folder of the evaluation set's scans; None in the other layouts."""
        folder = self.root / "Rectified"
        return folder if folder.is_dir() else None

    def scenes(self) -> list[str]:
        folders = [
            p
            for p in (self._rectified or self.root).iterdir()
            if p.name.startswith("scan") and p.is_dir()
        ]
        names = [
            p.name
            for p in folders
            if p.name[4:].isdigit() and (self._rectified or (p / "cams").is_dir())
        ]
        return sorted(names, key=lambda n: int(n[4:]))

    def frames(self, scene: str) -> list[str]:
        if self._rectified:
            names = (
                re.fullmatch(rf"rect_(\d+)_{LIGHT}_r5000\.png", p.name)
                for p in (self._rectified / scene).iterdir()
            )
            return [f"{n - 1:08d}" for n in sorted(int(m[1]) for m in names if m)]
        return sorted((p.stem for p in (self.root / scene / "images").glob("*.jpg")), key=int)

    def _files(self, scene: str, frame: str) -> tuple[Path, Path]:
        """Image and camera of a frame."""
        if self._rectified:
            image = self._rectified / scene / f"rect_{int(frame) + 1:03d}_{LIGHT}_r5000.png"
            return image, self.root / "Cameras" / f"{frame}_cam.txt"
        return (
            self.root / scene / "images" / f"{frame}.jpg",
            self.root / scene / "cams" / f"{frame}_cam.txt",
        )

    def read(self, scene: str, frame: str) -> Frame:
        picture, camera = self._files(scene, frame)
        w2c, k = read_cam(camera)
        check_rotation(w2c, str(camera))
        image = read_image(picture)
        if abs(k[0, 2] / image.shape[1] - 0.5) > 0.1:
            raise Bench3RError(
                f"{camera}: the intrinsics are for another image size (cx {k[0, 2]:.1f}, image width "
                f"{image.shape[1]})"
            )
        return Frame(image, k, np.linalg.inv(w2c), self._truth(scene, frame, image.shape[:2]))

    def _truth(self, scene: str, frame: str, size: tuple[int, int]) -> np.ndarray | None:
        """Depth of a frame; None in the layouts and sets that have none."""
        if self._rectified:
            path = self.root / "Depths_raw" / scene / f"depth_map_{int(frame):04d}.pfm"
            if not path.exists():
                return None
            depth = read_pfm(path)
            if depth.shape != size:
                raise Bench3RError(f"{path}: image {size} and depth {depth.shape} differ in size")
            return np.where(np.isfinite(depth), depth, 0).astype(np.float32)
        folder = self.root / scene
        return self._depth(folder, frame, size) if (folder / "depths").is_dir() else None

    def _depth(self, folder: Path, frame: str, size: tuple[int, int]) -> np.ndarray:
        path = folder / "depths" / f"{frame}.npy"
        depth = read_depth_npy(path)
        mask = read_image(folder / "binary_masks" / f"{frame}.png")[..., 0] > 127
        if depth.shape != size or mask.shape != size:
            raise Bench3RError(
                f"{path}: image {size}, depth {depth.shape} and mask {mask.shape} differ in size"
            )
        return np.where(mask, np.nan_to_num(depth, nan=0, posinf=0, neginf=0), 0).astype(np.float32)

    def surface(self, scene: str) -> np.ndarray:
        """The structured-light scan, from Points/stl beside the scans."""
        return read_points(self.root / "Points" / "stl" / f"stl{int(scene[4:]):03d}_total.ply")

    def observation(self, scene: str) -> Observation | None:
        """Masks and planes of the official SampleSet; None when it is not there."""
        number = int(scene[4:])
        for folder in ("SampleSet/MVS Data/ObsMask", "SampleSet/mvs_data/ObsMask"):
            mask, plane = (
                self.root / folder / n for n in (f"ObsMask{number}_10.mat", f"Plane{number}.mat")
            )
            if mask.is_file() and plane.is_file():
                return read_observation(mask, plane)
        return None

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        from bench3r.data.procedural import layout

        data, folder = layout.generate("tabletop", seed, frames, (120, 160)), root / scene
        for name in ("depths", "cams"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(frames):
            depth = 1000 * data.views.depth[i]
            layout.save_image(folder / "images" / f"{i:08d}.jpg", data.views.images[i])
            layout.save_image(
                folder / "binary_masks" / f"{i:08d}.png",
                np.where(depth > 0, 255, 0).astype(np.uint8),
            )
            np.save(folder / "depths" / f"{i:08d}.npy", depth)
            w2c = np.linalg.inv(data.views.c2w[i])
            w2c[:3, 3] *= 1000
            write_cam(folder / "cams" / f"{i:08d}_cam.txt", w2c, data.views.intrinsics[i], depth)
        write_pairs(folder / "pair.txt", frames)
        points = 1000 * layout.surface_samples(data.mesh, 20000, seed % 2**31)
        stl = root / "Points" / "stl" / f"stl{int(scene[4:]):03d}_total.ply"
        layout.save_points(stl, points)

    @staticmethod
    def procedural_scene_name(index: int) -> str:
        """Official-looking names above the range of the real scans."""
        return f"scan{901 + index}"
