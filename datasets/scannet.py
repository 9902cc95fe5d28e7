"""ScanNet v2 (Dai et al. 2017), in one of three layouts.

SCENE/SCENE.sens as released, its export SCENE/{color,depth,pose,intrinsic}, or the processed
SCENE/{color,depth,cam} of DUSt3R and CUT3R.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import folders_with, numbered_stems, read_matrix
from bench3r.data.formats.images import read_depth_png, read_image
from bench3r.data.formats.sens import SensFile, open_sens
from bench3r.data.formats.surfaces import read_points
from bench3r.data.poses import check_rotation
from bench3r.files import read_npz

SCALE = 1000  # depth values per metre


def check_same_camera(extrinsics: np.ndarray, where: str) -> None:
    """Raise Bench3RError unless colour and depth share one camera: ``extrinsics`` [4, 4] is 1."""
    if np.abs(extrinsics - np.eye(4)).max() > 1e-4:
        raise Bench3RError(f"{where}: expected the identity; colour and depth cameras differ")


def at_size_of(depth: np.ndarray, image: np.ndarray) -> np.ndarray:
    """``image`` [h, w, 3] at the size of a depth map [H, W]: [H, W, 3]."""
    if image.shape[:2] == depth.shape:
        return image
    height, width = depth.shape
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


class ScanNet(Dataset):
    """Indoor RGB-D. Depth in millimetres (0 = none), camera-to-world poses (-inf = tracking lost).

    Colour is resized to the depth map, which is used with the depth intrinsics, as CUT3R and Pi3
    do. In the processed layout ``cam/*.npz`` holds pose and intrinsics; frames with lost poses are
    left out there. A scan that is neither processed nor exported is read from its stream, frames
    named by their number. The scanned surface is SCENE_vh_clean_2.ply, in the world of the raw
    poses.
    """

    name = "scannet"
    label = "ScanNet"
    scene_type = "indoor"
    licence = "ScanNet Terms of Use (non-commercial research, no redistribution)"
    obtain = (
        "Sign the Terms of Use at http://www.scan-net.org; its script fetches SCENE.sens and "
        "SCENE_vh_clean_2.ply."
    )
    procedural_style = "room"

    @staticmethod
    def place(scene: str) -> str:
        """The room: ``scene0000_01`` is the second scan of ``scene0000``."""
        return scene.rsplit("_", 1)[0]

    def scenes(self) -> list[str]:
        return [s for s in folders_with(self.root) if self._has_frames(self.root / s)]

    @staticmethod
    def _has_frames(folder: Path) -> bool:
        released = folder / f"{folder.name}.sens"
        return released.is_file() or (folder / "pose").is_dir() or (folder / "cam").is_dir()

    def frames(self, scene: str) -> list[str]:
        if stream := self._stream(scene):
            tracked = np.isfinite(stream.poses).all((1, 2))
            return [str(number) for number in np.nonzero(tracked)[0]]
        if self._is_processed(scene):
            stems = numbered_stems(self.root / scene / "cam", "*.npz")
        else:
            stems = numbered_stems(self.root / scene / "pose", "*.txt")
        return [stem for stem in stems if np.isfinite(self._pose(scene, stem)).all()]

    def _is_processed(self, scene: str) -> bool:
        return (self.root / scene / "cam").is_dir()

    def _stream(self, scene: str) -> SensFile | None:
        """The released stream, when the scan was neither processed nor exported."""
        folder = self.root / scene
        if (folder / "pose").is_dir() or (folder / "cam").is_dir():
            return None
        return open_sens(folder / f"{scene}.sens")

    def _processed_camera(self, scene: str, frame: str) -> tuple[np.ndarray, np.ndarray]:
        """Pose [4, 4] and intrinsics [3, 3] of the processed layout."""
        path = self.root / scene / "cam" / f"{frame}.npz"
        arrays = read_npz(path)
        pose = arrays.get("pose", np.zeros(0))
        k = arrays.get("intrinsics", np.zeros(0))
        if pose.shape != (4, 4) or k.shape != (3, 3):
            raise Bench3RError(f"{path}: expected pose [4, 4] and intrinsics [3, 3]")
        return pose.astype(np.float64), k.astype(np.float64)

    def _pose(self, scene: str, frame: str) -> np.ndarray:
        if self._is_processed(scene):
            return self._processed_camera(scene, frame)[0]
        return read_matrix(self.root / scene / "pose" / f"{frame}.txt", (4, 4))

    def _intrinsics(self, scene: str, frame: str) -> np.ndarray:
        if self._is_processed(scene):
            return self._processed_camera(scene, frame)[1]
        folder = self.root / scene / "intrinsic"
        for camera in ("color", "depth"):
            path = folder / f"extrinsic_{camera}.txt"
            check_same_camera(read_matrix(path, (4, 4)), str(path))
        return read_matrix(folder / "intrinsic_depth.txt", (3, 3))

    def read(self, scene: str, frame: str) -> Frame:
        if stream := self._stream(scene):
            return self._read_stream(stream, frame)
        folder = self.root / scene
        depth = read_depth_png(folder / "depth" / f"{frame}.png", SCALE)
        image = read_image(folder / "color" / f"{frame}.jpg")
        pose = self._pose(scene, frame)
        stored = f"cam/{frame}.npz" if self._is_processed(scene) else f"pose/{frame}.txt"
        check_rotation(pose, str(folder / stored))
        return Frame(at_size_of(depth, image), self._intrinsics(scene, frame), pose, depth)

    def _read_stream(self, stream: SensFile, frame: str) -> Frame:
        if not frame.isdecimal() or int(frame) >= len(stream.poses):
            raise Bench3RError(f"{stream.path}: no frame {frame!r} among {len(stream.poses)}")
        number = int(frame)
        for camera, matrix in zip(("colour", "depth"), stream.extrinsics, strict=True):
            check_same_camera(matrix, f"{stream.path}: extrinsics of {camera}")
        pose = stream.poses[number].copy()  # what the stream's header says is kept for other frames
        k = stream.intrinsic_depth[:3, :3].copy()
        check_rotation(pose, f"{stream.path}: pose of frame {frame}")
        depth = stream.depth(number)
        return Frame(at_size_of(depth, stream.color(number)), k, pose, depth)

    def surface(self, scene: str) -> np.ndarray:
        """The scanned surface's vertices [N, 3]."""
        return read_points(self.root / scene / f"{scene}_vh_clean_2.ply")

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        from bench3r.data.procedural import layout

        made = layout.generate("room", seed, frames, (120, 160))
        folder = root / scene
        for i in range(frames):
            layout.save_image(folder / "color" / f"{i}.jpg", made.views.images[i])
            layout.save_depth_png(folder / "depth" / f"{i}.png", made.views.depth[i])
            layout.save_matrix(folder / "pose" / f"{i}.txt", made.views.c2w[i])
        k = np.eye(4)
        k[:3, :3] = made.views.intrinsics[0]
        for camera in ("color", "depth"):
            layout.save_matrix(folder / "intrinsic" / f"intrinsic_{camera}.txt", k)
            layout.save_matrix(folder / "intrinsic" / f"extrinsic_{camera}.txt", np.eye(4))
        layout.save_mesh(folder / f"{scene}_vh_clean_2.ply", made.mesh)

    @staticmethod
    def procedural_scene_name(index: int) -> str:
        """Official-looking names above the range of the real scans."""
        return f"scene{9000 + index:04d}_00"
