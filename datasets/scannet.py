"""ScanNet v2 (Dai et al. 2017): SCENE.sens as released, its export {color,depth,pose,intrinsic}, or {color,depth,cam}."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data.formats.files import read_matrix
from bench3r.data.formats.images import read_depth_png, read_image
from bench3r.data.formats.sens import SensFile, open_sens
from bench3r.data.formats.surfaces import read_points
from bench3r.data.poses import check_rotation
from bench3r.files import read_npz


def check_same_camera(extrinsics: np.ndarray, where: str) -> None:
    """Raise Bench3RError unless colour and depth share one camera."""
    if np.abs(extrinsics - np.eye(4)).max() > 1e-4:
        raise Bench3RError(f"{where}: expected the identity; colour and depth cameras differ")


def at_size_of(depth: np.ndarray, image: np.ndarray) -> np.ndarray:
    """``image`` resized to the depth map where their sizes differ."""
    if image.shape[:2] == depth.shape:
        return image
    return np.asarray(Image.fromarray(image).resize(depth.shape[::-1], Image.Resampling.LANCZOS))


class ScanNet(Dataset):
    """Indoor RGB-D. Depth in millimetres (0 = none), camera-to-world poses (-inf = tracking lost).

    In the processed layout of DUSt3R and CUT3R, ``cam/*.npz`` holds pose and intrinsics; frames with lost poses are left
    out there. A scan that is neither processed nor exported is read from its stream, frames named by their number. The
    scanned surface is SCENE_vh_clean_2.ply, in the world of the raw poses.
    """

    name = "scannet"
    label = "ScanNet"
    scene_type = "indoor"
    licence = "ScanNet Terms of Use (non-commercial research, no redistribution)"
    obtain = "Sign the Terms of Use at http://www.scan-net.org; its script fetches SCENE.sens and SCENE_vh_clean_2.ply."
    procedural_style = "room"

    def scenes(self) -> list[str]:
        return sorted(
            p.name
            for p in self.root.iterdir()
            if (p / "pose").is_dir() or (p / "cam").is_dir() or (p / f"{p.name}.sens").is_file()
        )

    def frames(self, scene: str) -> list[str]:
        if stream := self._stream(scene):
            return [str(i) for i, pose in enumerate(stream.poses) if np.isfinite(pose).all()]
        folder, pattern = ("cam", "*.npz") if self._processed(scene) else ("pose", "*.txt")
        stems = sorted(
            (p.stem for p in (self.root / scene / folder).glob(pattern) if p.stem.isdigit()),
            key=int,
        )
        return [s for s in stems if np.isfinite(self._pose(scene, s)).all()]

    def _processed(self, scene: str) -> bool:
        return (self.root / scene / "cam").is_dir()

    def _stream(self, scene: str) -> SensFile | None:
        """The released stream, when the scan was neither processed nor exported."""
        folder = self.root / scene
        if (folder / "pose").is_dir() or (folder / "cam").is_dir():
            return None
        return open_sens(folder / f"{scene}.sens")

    def _cam(self, scene: str, frame: str) -> dict[str, np.ndarray]:
        """Pose and intrinsics of the processed layout."""
        path = self.root / scene / "cam" / f"{frame}.npz"
        arrays = read_npz(path)
        if arrays.get("pose", np.zeros(0)).shape != (4, 4) or arrays.get(
            "intrinsics", np.zeros(0)
        ).shape != (3, 3):
            raise Bench3RError(f"{path}: expected pose [4, 4] and intrinsics [3, 3]")
        return arrays

    def _pose(self, scene: str, frame: str) -> np.ndarray:
        if self._processed(scene):
            return self._cam(scene, frame)["pose"].astype(np.float64)
        return read_matrix(self.root / scene / "pose" / f"{frame}.txt", (4, 4))

    def _intrinsics(self, scene: str) -> np.ndarray:
        folder = self.root / scene / "intrinsic"
        for name in ("extrinsic_color.txt", "extrinsic_depth.txt"):
            check_same_camera(read_matrix(folder / name, (4, 4)), str(folder / name))
        return read_matrix(folder / "intrinsic_depth.txt", (3, 3))

    def read(self, scene: str, frame: str) -> Frame:
        """Colour resized to the depth map, which is used with the depth intrinsics as CUT3R and Pi3 do."""
        folder = self.root / scene
        if stream := self._stream(scene):
            return self._read_stream(stream, frame)
        depth = read_depth_png(folder / "depth" / f"{frame}.png", 1000)
        image = read_image(folder / "color" / f"{frame}.jpg")
        pose = self._pose(scene, frame)
        check_rotation(
            pose,
            f"{folder}: pose of frame {frame}"
            if self._processed(scene)
            else str(folder / "pose" / f"{frame}.txt"),
        )
        k = (
            self._cam(scene, frame)["intrinsics"]
            if self._processed(scene)
            else self._intrinsics(scene)
        )
        return Frame(at_size_of(depth, image), k.astype(np.float64), pose, depth)

    def _read_stream(self, stream: SensFile, frame: str) -> Frame:
        if not frame.isdigit() or int(frame) >= len(stream.poses):
            raise Bench3RError(f"{stream.path}: no frame {frame!r} among {len(stream.poses)}")
        index = int(frame)
        for name, matrix in zip(("colour", "depth"), stream.extrinsics, strict=True):
            check_same_camera(matrix, f"{stream.path}: extrinsics of {name}")
        check_rotation(stream.poses[index], f"{stream.path}: pose of frame {frame}")
        depth = stream.depth(index)
        k = stream.intrinsic_depth[:3, :3].copy()  # the stream's header is kept for other frames
        return Frame(at_size_of(depth, stream.color(index)), k, stream.poses[index].copy(), depth)

    def surface(self, scene: str) -> np.ndarray:
        return read_points(self.root / scene / f"{scene}_vh_clean_2.ply")

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        from bench3r.data.procedural import layout

        scene_data, folder = layout.generate("room", seed, frames, (120, 160)), root / scene
        for i, (image, depth, pose) in enumerate(
            zip(scene_data.views.images, scene_data.views.depth, scene_data.views.c2w, strict=True)
        ):
            layout.save_image(folder / "color" / f"{i}.jpg", image)
            layout.save_depth_png(folder / "depth" / f"{i}.png", depth)
            layout.save_matrix(folder / "pose" / f"{i}.txt", pose)
        k = np.eye(4)
        k[:3, :3] = scene_data.views.intrinsics[0]
        for name, matrix in (("intrinsic", k), ("extrinsic", np.eye(4))):
            for camera in ("color", "depth"):
                layout.save_matrix(folder / "intrinsic" / f"{name}_{camera}.txt", matrix)
        layout.save_mesh(folder / f"{scene}_vh_clean_2.ply", scene_data.mesh)

    @staticmethod
    def procedural_scene_name(index: int) -> str:
        """Official-looking names above the range of the real scans."""
        return f"scene{9000 + index:04d}_00"
