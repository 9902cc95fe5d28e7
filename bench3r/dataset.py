"""What a dataset is: the contract of a file in ``datasets/``, and how scenes reach models.

Internal form: images uint8 RGB, z-depth float32 with 0 = unknown, intrinsics in pixels with integer pixel centres,
camera-to-world poses with OpenCV axes (x right, y down, z forward), all in the dataset's own unit.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from bench3r.errors import Bench3RError

if TYPE_CHECKING:
    from bench3r.metrics.dtu import Observation


@dataclass
class Frame:
    """One view."""

    image: np.ndarray  # [H, W, 3] uint8
    intrinsics: np.ndarray  # [3, 3]
    c2w: np.ndarray  # [4, 4]
    depth: np.ndarray | None = None  # [H, W] float32, 0 = unknown; None: the dataset has none


@dataclass
class SceneData:
    """The chosen views of one scene at the size a model sees."""

    name: str
    frames: tuple[str, ...]
    images: np.ndarray  # [S, H, W, 3] uint8
    intrinsics: np.ndarray  # [S, 3, 3]
    c2w: np.ndarray  # [S, 4, 4]
    depth: np.ndarray | None  # [S, H, W] float32
    unit: str
    scene_type: str
    icp_distance: float  # largest correspondence distance for ICP, in ``unit``


# How intrinsics follow a resize. exact: each axis by its own factor; pi3: both axes by the larger one, as the released
# evaluation of Pi3 does, whose "true" clouds of 7-Scenes, NRGBD and DTU are 0.9 % too narrow for it
Intrinsics = Literal["exact", "pi3"]


class Dataset(ABC):
    """Base of all datasets: lists scenes and frames under a root and reads one frame."""

    name: ClassVar[str]
    label: ClassVar[str]
    scene_type: ClassVar[str] = "indoor"  # indoor, controlled or real-world
    unit: ClassVar[Literal["m", "mm", "arbitrary"]] = "m"
    icp_distance: ClassVar[float] = 0.1  # in ``unit``; in median depths where the unit is arbitrary
    has_depth: ClassVar[bool] = True
    has_pose: ClassVar[bool] = True  # False: poses and intrinsics are nan, only depth can be scored
    largest_depth: ClassVar[float | None] = None  # bound of true depth in ``depth_video``; None: 80 m, none in other units
    clips_depth: ClassVar[bool] = False  # whether that protocol clips predictions at the bound, too
    licence: ClassVar[str] = ""
    obtain: ClassVar[str] = ""  # how to get the data
    procedural_style: ClassVar[str | None] = None  # style of the procedural stand-in, None: there is none

    def __init__(self, root: Path, intrinsics: Intrinsics = "exact") -> None:
        self.root, self.intrinsics = root, intrinsics
        if not root.is_dir():
            raise Bench3RError(f"{self.name}: data root {root} is missing. {self.obtain}".strip())

    @abstractmethod
    def scenes(self) -> list[str]:
        """Names of the scenes under the root, in a fixed order."""

    @abstractmethod
    def frames(self, scene: str) -> list[str]:
        """Identifiers of the frames of ``scene`` with a valid pose, in temporal (integer) order."""

    @abstractmethod
    def read(self, scene: str, frame: str) -> Frame:
        """Read one frame. Raises Bench3RError naming the file when something is missing or damaged."""

    def surface(self, scene: str) -> np.ndarray | None:
        """Points [N, 3] of the scanned surface of ``scene`` in its world and unit; None when the dataset has none."""
        return None

    def sparse_points(self, scene: str, frame: str) -> np.ndarray | None:
        """Trusted points of a reconstruction that a frame sees, [N, 3]: x, y in shares of its width and height, and z-depth.

        None when the dataset has none.
        """
        return None

    def observation(self, scene: str) -> Observation | None:
        """What the scanner of ``scene`` could see; None where nothing says so."""
        return None

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        """Write one procedural scene under ``root`` in this dataset's official layout."""
        raise Bench3RError(f"{cls.name} has no procedural stand-in: set `root` to the real data. {cls.obtain}")


def inside(root: Path, relative: str) -> Path:
    """``root / relative`` for a name that a file of the dataset gives.

    Raises Bench3RError when it would lead out of ``root``, as absolute paths and ``..`` can. Links that whoever set the data
    up has laid are followed.
    """
    clean = os.path.normpath(relative)
    if not relative or os.path.isabs(relative) or clean.split(os.sep)[0] == ".." or "\0" in relative:
        raise Bench3RError(f"{root}: the dataset names {relative!r}, which lies outside; expected a path below this folder")
    return root / clean


def read_image(path: Path) -> np.ndarray:
    """RGB [H, W, 3] uint8; RGBA is put over white. Raises Bench3RError naming the file."""
    try:
        with Image.open(path) as file:
            image = file.convert("RGBA") if file.mode in ("RGBA", "LA", "P") else file.convert("RGB")
            if image.mode == "RGBA":
                image = Image.alpha_composite(Image.new("RGBA", image.size, (255,) * 4), image).convert("RGB")
            return np.asarray(image)
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: image is missing") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Bench3RError(f"{path}: unreadable image ({error})") from error


def read_depth_png(path: Path, scale: float, invalid: tuple[int, ...] = (0,)) -> np.ndarray:
    """16-bit PNG -> float32 depth in units (value / ``scale``), the ``invalid`` values as 0."""
    try:
        with Image.open(path) as file:
            raw = np.asarray(file)
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: depth map is missing") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise Bench3RError(f"{path}: unreadable depth map ({error})") from error
    if raw.ndim != 2 or raw.dtype.kind not in "ui" or raw.dtype.itemsize < 2:
        raise Bench3RError(f"{path}: expected a 16-bit single-channel PNG, got {raw.dtype} {raw.shape}")
    return np.where(np.isin(raw, invalid), 0, raw / scale).astype(np.float32)


def read_depth_npy(path: Path) -> np.ndarray:
    """Depth map as it is stored in a .npy file, never unpickled. Raises Bench3RError naming the file."""
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: depth map is missing") from error
    except (ValueError, OSError, EOFError) as error:
        raise Bench3RError(f"{path}: unreadable depth map ({error})") from error


def read_points(path: Path) -> np.ndarray:
    """Vertices [N, 3] of a PLY file, mesh or cloud. Raises Bench3RError naming the file."""
    import trimesh

    if not path.is_file():
        raise Bench3RError(f"{path}: the scanned surface is missing")
    try:
        loaded: Any = trimesh.load(path, process=False)
        points = np.asarray(loaded.vertices, dtype=np.float64)
    except Exception as error:  # trimesh raises whatever its readers do
        raise Bench3RError(f"{path}: unreadable surface ({type(error).__name__}: {error})") from error
    if not len(points) or not np.isfinite(points).all():
        raise Bench3RError(f"{path}: expected finite points, found {len(points)}")
    return points


def read_bytes(path: Path, what: str) -> bytes:
    """The file's bytes. Raises Bench3RError naming it and ``what`` it should be."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: {what} is missing") from error
    except OSError as error:
        raise Bench3RError(f"{path}: unreadable {what} ({error})") from error


def read_numbers(path: Path) -> np.ndarray:
    """All numbers of a text file, nan and inf among them. Raises Bench3RError for anything else, and for none."""
    try:
        values = np.array([float(t) for t in path.read_text().replace(",", " ").split()])
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: file is missing") from error
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise Bench3RError(f"{path}: expected numbers, {error}") from error
    if not values.size:
        raise Bench3RError(f"{path}: the file is empty")
    return values


def read_matrix(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Text matrix of ``shape`` (more rows or columns are cut to a 4x4's upper part). May hold -inf (lost poses)."""
    values = read_numbers(path)
    for rows, columns in (shape, (4, 4)):
        if values.size == rows * columns:
            return values.reshape(rows, columns)[: shape[0], : shape[1]]
    raise Bench3RError(f"{path}: expected {shape[0]}x{shape[1]} numbers, found {values.size}")


def opengl_to_opencv(c2w: np.ndarray) -> np.ndarray:
    """Camera to world [4, 4] with OpenGL axes (y up, z backward) -> OpenCV axes."""
    return c2w @ np.diag([1.0, -1, -1, 1])


def pose_from_quaternion(values: tuple[float, ...], where: str) -> np.ndarray:
    """Translation and quaternion xyzw, 7 numbers -> [4, 4]. Raises Bench3RError for what is no rotation."""
    numbers = np.array(values, dtype=np.float64)
    if not np.isfinite(numbers).all() or abs(np.linalg.norm(numbers[3:]) - 1) > 1e-2:
        raise Bench3RError(f"{where}: expected a translation and a unit quaternion, found {numbers.tolist()}")
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.from_quat(numbers[3:]).as_matrix(), numbers[:3]
    return pose


def check_rotation(pose: np.ndarray, where: str) -> None:
    """Raise Bench3RError unless the upper 3x3 of ``pose`` is a rotation (orthonormal, determinant +1)."""
    r = pose[:3, :3]
    if not np.isfinite(pose).all() or np.abs(r @ r.T - np.eye(3)).max() > 1e-2 or np.linalg.det(r) < 0:
        raise Bench3RError(f"{where}: the pose is not a rigid transform (rotation part {np.round(r, 3).tolist()})")


def target_size(height: int, width: int, model_width: int, patch: int) -> tuple[int, int]:
    """VGGT's preprocessing: the width becomes ``model_width``, the height keeps the aspect, rounded to patches."""
    return max(patch, round(height * model_width / width / patch) * patch), model_width


def resize_frame(frame: Frame, size: tuple[int, int], intrinsics: Intrinsics = "exact") -> Frame:
    """``frame`` at ``size`` (H, W), then centre-cropped to the width when taller, as VGGT's "crop" mode.

    Images bicubic, depth nearest; intrinsics follow with separate factors and the half-pixel shift.
    """
    h, w = frame.image.shape[:2]
    sy, sx = size[0] / h, size[1] / w
    image = np.asarray(Image.fromarray(frame.image).resize((size[1], size[0]), Image.Resampling.BICUBIC))
    k = frame.intrinsics.astype(np.float64).copy()
    k[0, 0] *= sx if intrinsics == "exact" else max(sx, sy)
    k[1, 1] *= sy if intrinsics == "exact" else max(sx, sy)
    k[0, 2], k[1, 2] = (k[0, 2] + 0.5) * sx - 0.5, (k[1, 2] + 0.5) * sy - 0.5
    depth = None if frame.depth is None else resize_nearest(frame.depth, size)
    resized = Frame(image, k, frame.c2w, depth)
    return crop_height(resized, size[1]) if size[0] > size[1] else resized


def resize_nearest(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest-neighbour resampling at pixel centres [H, W] -> ``size``."""
    rows = ((np.arange(size[0]) + 0.5) * depth.shape[0] / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * depth.shape[1] / size[1]).astype(int)
    return depth[rows[:, None], columns]


def crop_height(frame: Frame, height: int) -> Frame:
    """The central ``height`` rows."""
    start = (frame.image.shape[0] - height) // 2
    k = frame.intrinsics.copy()
    k[1, 2] -= start
    rows = slice(start, start + height)
    return replace(frame, image=frame.image[rows], intrinsics=k, depth=None if frame.depth is None else frame.depth[rows])


def load_scene(dataset: Dataset, scene: str, frames: list[str], model_width: int, patch: int) -> SceneData:
    """Read, check (reprojection gate) and resize ``frames`` of ``scene``.

    Raises Bench3RError when sizes differ, a frame is broken, or depth and poses disagree.
    """
    from bench3r import gate

    raw = [dataset.read(scene, frame) for frame in frames]
    if dataset.has_pose:
        gate.check(raw, f"{dataset.name} {scene}")
    targets = [target_size(v.image.shape[0], v.image.shape[1], model_width, patch) for v in raw]
    views = [resize_frame(v, size, dataset.intrinsics) for v, size in zip(raw, targets, strict=True)]
    sizes = {v.image.shape for v in views}
    if len(sizes) > 1:
        raise Bench3RError(f"{dataset.name} {scene}: frames have different sizes after resizing: {sorted(sizes)}")
    maps = [v.depth for v in views if v.depth is not None]
    depth = np.stack(maps) if len(maps) == len(views) else None
    reach = dataset.icp_distance
    if dataset.unit == "arbitrary" and depth is not None and (depth > 0).any():
        reach *= float(np.median(depth[depth > 0]))
    return SceneData(
        scene, tuple(frames), np.stack([v.image for v in views]), np.stack([v.intrinsics for v in views]),
        np.stack([v.c2w for v in views]), depth, dataset.unit, dataset.scene_type, reach,
    )  # fmt: skip
