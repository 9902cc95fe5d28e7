"""DTU (Jensen et al. 2014) in MVSNet's layouts and the processed one of Spann3R, CUT3R and Pi3."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import folders_with, numbered_stems
from bench3r.data.formats.images import check_same_size, known_depth, read_depth_npy, read_image
from bench3r.data.formats.mvsnet import check_centre, read_cam, read_pfm, write_cam, write_pairs
from bench3r.data.formats.surfaces import read_points
from bench3r.data.poses import check_rotation
from bench3r.metrics.dtu import Observation

LIGHT = 3  # of the seven lights, the one that is evaluated
SCAN = re.compile(r"scan(\d+)")
RECTIFIED = re.compile(rf"rect_(\d+)_{LIGHT}_r5000\.png")
OBSERVED = ("SampleSet/MVS Data/ObsMask", "SampleSet/mvs_data/ObsMask")  # the release's two names


def read_matlab(path: Path, *names: str) -> list[np.ndarray]:
    """The arrays ``names`` of a .mat file, of any shape [...]. Raises Bench3RError naming it."""
    try:
        stored = loadmat(path)
    except Exception as error:  # scipy raises several types for damaged files
        raise Bench3RError(f"{path}: unreadable MATLAB file ({error})") from error
    found = []
    for name in names:
        if name not in stored:
            raise Bench3RError(f"{path}: the file lacks {name}")
        found.append(stored[name])
    return found


def read_observation(mask: Path, plane: Path) -> Observation:
    """ObsMaskN_10.mat (ObsMask, BB, Res) and PlaneN.mat (P).

    Raises Bench3RError naming a damaged file.
    """
    observed, box, resolution = read_matlab(mask, "ObsMask", "BB", "Res")
    (table,) = read_matlab(plane, "P")
    side = float(resolution.item())
    return Observation(observed, box.astype(float), side, table.astype(float).ravel())


class DTU(Dataset):
    """One object on a table under controlled light; millimetres, world-to-camera files.

    Three layouts: processed, ``scanN/{images,depths,binary_masks,cams}`` with rendered z-depth;
    MVSNet's test set, ``scanN/{images,cams}`` without depth; and the evaluation set,
    ``Rectified/scanN/rect_NNN_3_r5000.png`` with one ``Cameras/`` for all scans (images count from
    1, cameras from 0) and, where they are, ``Depths_raw/scanN/*.pfm``.
    """

    name = "dtu"
    label = "DTU"
    scene_type = "controlled"
    unit = "mm"
    icp_distance = 100.0
    licence = "free for research with citation"
    obtain = (
        "Data: http://roboimagedata.compute.dtu.dk; the processed layout is described in Spann3R's "
        "documentation."
    )
    procedural_style = "tabletop"

    @property
    def _rectified(self) -> Path | None:
        """The folder of the evaluation set's scans; None in the other layouts."""
        folder = self.root / "Rectified"
        return folder if folder.is_dir() else None

    def scenes(self) -> list[str]:
        if self._rectified:
            folders = folders_with(self._rectified)
        else:
            folders = folders_with(self.root, "cams")
        return sorted(filter(SCAN.fullmatch, folders), key=self._number)

    @staticmethod
    def _number(scene: str) -> int:
        return int(scene.removeprefix("scan"))

    def frames(self, scene: str) -> list[str]:
        if not self._rectified:
            return numbered_stems(self.root / scene / "images", "*.jpg")
        numbers = []
        for path in (self._rectified / scene).iterdir():
            if found := RECTIFIED.fullmatch(path.name):
                numbers.append(int(found[1]))
        return [f"{number - 1:08d}" for number in sorted(numbers)]

    def read(self, scene: str, frame: str) -> Frame:
        if self._rectified:
            picture = self._rectified / scene / f"rect_{int(frame) + 1:03d}_{LIGHT}_r5000.png"
            camera = self.root / "Cameras" / f"{frame}_cam.txt"
        else:
            picture = self.root / scene / "images" / f"{frame}.jpg"
            camera = self.root / scene / "cams" / f"{frame}_cam.txt"
        w2c, k = read_cam(camera)
        check_rotation(w2c, str(camera))
        image = read_image(picture)
        check_centre(k, image, camera)
        return Frame(image, k, np.linalg.inv(w2c), self._depth(scene, frame, image))

    def _depth(self, scene: str, frame: str, image: np.ndarray) -> np.ndarray | None:
        """z-depth of a frame; None in the layouts and sets that have none."""
        if self._rectified:
            path = self.root / "Depths_raw" / scene / f"depth_map_{int(frame):04d}.pfm"
            if not path.exists():
                return None
            depth = known_depth(read_pfm(path))
            check_same_size(depth, image, path)
            return depth
        folder = self.root / scene
        if not (folder / "depths").is_dir():
            return None
        path = folder / "depths" / f"{frame}.npy"
        depth = known_depth(read_depth_npy(path))
        check_same_size(depth, image, path)
        path = folder / "binary_masks" / f"{frame}.png"
        mask = read_image(path)[..., 0] > 127
        check_same_size(mask, image, path)
        return np.where(mask, depth, 0)

    def surface(self, scene: str) -> np.ndarray:
        """The structured-light scan [N, 3], from Points/stl beside the scans."""
        name = f"stl{self._number(scene):03d}_total.ply"
        return read_points(self.root / "Points" / "stl" / name)

    def observation(self, scene: str) -> Observation | None:
        """Masks and planes of the official SampleSet; None when it is not there."""
        number = self._number(scene)
        for name in OBSERVED:
            mask = self.root / name / f"ObsMask{number}_10.mat"
            plane = self.root / name / f"Plane{number}.mat"
            if mask.is_file() and plane.is_file():
                return read_observation(mask, plane)
        return None

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        from bench3r.data.procedural import layout

        made = layout.generate("tabletop", seed, frames, (120, 160))
        folder = root / scene
        for i in range(frames):
            depth = 1000 * made.views.depth[i]
            mask = np.where(depth > 0, 255, 0).astype(np.uint8)
            layout.save_image(folder / "images" / f"{i:08d}.jpg", made.views.images[i])
            layout.save_image(folder / "binary_masks" / f"{i:08d}.png", mask)
            layout.save_array(folder / "depths" / f"{i:08d}.npy", depth)
            camera = folder / "cams" / f"{i:08d}_cam.txt"
            w2c = layout.world_to_camera(made.views.c2w[i], 1000)
            write_cam(camera, w2c, made.views.intrinsics[i], depth)
        write_pairs(folder / "pair.txt", frames)
        points = 1000 * layout.surface_samples(made.mesh, 20000, seed % 2**31)
        scan = root / "Points" / "stl" / f"stl{cls._number(scene):03d}_total.ply"
        layout.save_points(scan, points)

    @staticmethod
    def procedural_scene_name(index: int) -> str:
        """Official-looking names above the range of the real scans."""
        return f"scan{901 + index}"
