"""What a dataset is: the contract of a file in ``datasets/``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from bench3r.api.errors import Bench3RError
from bench3r.api.registry import ROOT, Registry, subclass_of
from bench3r.api.scene import Frame, Intrinsics

if TYPE_CHECKING:
    from bench3r.metrics.dtu import Observation


class Dataset(ABC):
    """Base of all datasets: lists scenes and frames under a root and reads one frame."""

    name: ClassVar[str]
    label: ClassVar[str]
    scene_type: ClassVar[str] = "indoor"  # indoor, controlled or real-world
    unit: ClassVar[Literal["m", "mm", "arbitrary"]] = "m"
    icp_distance: ClassVar[float] = 0.1  # in ``unit``; in median depths where the unit is arbitrary
    has_depth: ClassVar[bool] = True
    has_pose: ClassVar[bool] = True  # False: poses and intrinsics are nan, only depth can be scored
    # bound of ground-truth z-depth in ``depth_video``; None: 80 m, and no bound in other units
    largest_depth: ClassVar[float | None] = None
    clips_depth: ClassVar[bool] = False  # whether that protocol clips predictions at the bound, too
    licence: ClassVar[str] = ""
    obtain: ClassVar[str] = ""  # how to get the data
    # style of the procedural stand-in; None: there is none
    procedural_style: ClassVar[str | None] = None

    def __init__(self, root: Path, intrinsics: Intrinsics = "exact") -> None:
        self.root = root
        self.intrinsics = intrinsics
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
        """Read one frame.

        Raises Bench3RError naming the file when something is missing or damaged.
        """

    @staticmethod
    def place(scene: str) -> str:
        """What ``scene`` shows: two scenes of one place are never one for training, one for test.

        A scene is its own place unless a dataset has several scans of one.
        """
        return scene

    def surface(self, scene: str) -> np.ndarray | None:
        """Points [N, 3] of the scanned surface of ``scene``, in its unit; None: there is none."""
        return None

    def sparse_points(self, scene: str, frame: str) -> np.ndarray | None:
        """Trusted points [N, 3] of a reconstruction that a frame sees; None: no reconstruction.

        x and y in shares of the image's width and height, and z-depth.
        """
        return None

    def observation(self, scene: str) -> Observation | None:
        """What the scanner of ``scene`` could see; None where nothing says so."""
        return None

    @classmethod
    def write_procedural(cls, root: Path, scene: str, index: int, seed: int, frames: int) -> None:
        """Write one procedural scene under ``root`` in this dataset's official layout.

        Raises Bench3RError for a dataset without a procedural stand-in.
        """
        raise Bench3RError(
            f"{cls.name} has no procedural stand-in: set `root` to the real data. {cls.obtain}"
        )

    @staticmethod
    def procedural_scene_name(index: int) -> str:
        """The name of procedural scene ``index``, which no real scene has."""
        return f"procedural{index:03d}"


DATASETS: Registry[type[Dataset]] = Registry(
    "dataset", ROOT / "datasets", "bench3r_datasets", subclass_of(Dataset)
)
