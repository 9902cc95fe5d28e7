"""What a protocol scores: a saved prediction beside the ground truth, and the steps that several protocols share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.scene import SceneData
from bench3r.data.resize import target_size
from bench3r.metrics.alignment import Similarity, icp, move, umeyama
from bench3r.metrics.dtu import Observation
from bench3r.metrics.projection import unproject
from bench3r.protocols.missing import NotApplicable, NotComputable

LARGEST_DEPTH = 80.0  # metres; the released evaluation's bound where a dataset states none


@dataclass
class Scored:
    """A saved prediction beside the truth. All float64, the prediction in its own frame and scale."""

    scene: SceneData
    depth: np.ndarray  # [S, H, W]
    extrinsics: np.ndarray  # [S, 3, 4] world to camera
    intrinsics: np.ndarray  # [S, 3, 3]
    world_points: np.ndarray | None = (
        None  # [S, H, W, 3], when a head predicted them and they were kept
    )
    points_from: str = "depth_camera"
    recursion_depth: np.ndarray | None = (
        None  # [S, h, w] recursions of every patch, of methods that have them
    )
    patch: int = 8  # side of a patch in pixels
    held_out: list[int] | None = None  # views that were only localised, of methods that do that
    depth_conf: np.ndarray | None = None  # [S, H, W], when it was kept
    reference: dict[str, np.ndarray] | None = (
        None  # what the unchanged backbone predicted, where the run has it
    )
    dataset: Dataset | None = (
        None  # for what scenes do not carry: scanned surfaces, full-size depth
    )

    @cached_property
    def valid(self) -> np.ndarray:
        """Pixels with true depth [S, H, W]. Raises NotComputable when the dataset has none."""
        if self.scene.depth is None:
            raise NotComputable("the dataset has no depth")
        valid = self.scene.depth > 0
        if not valid.any():
            raise NotComputable("no pixel of the scene has true depth")
        return valid

    @cached_property
    def true_depth(self) -> np.ndarray:
        """True depth of the valid pixels [N]."""
        valid = self.valid
        assert self.scene.depth is not None
        return self.scene.depth[valid].astype(np.float64)

    @cached_property
    def predicted_depth(self) -> np.ndarray:
        """Predicted depth at the same pixels [N]."""
        return self.depth[self.valid].astype(np.float64)

    @cached_property
    def true_points(self) -> np.ndarray:
        """True world points of the valid pixels [N, 3]."""
        valid = self.valid
        assert self.scene.depth is not None
        if not np.isfinite(self.scene.intrinsics).all():
            raise NotApplicable("the dataset has no intrinsics")
        w2c = self.true_w2c[:, :3]
        return unproject(self.scene.depth.astype(np.float64), w2c, self.scene.intrinsics)[valid]

    @cached_property
    def predicted_points(self) -> np.ndarray:
        """Predicted world points at the same pixels [N, 3]: from depth and camera, or from the point head."""
        if self.points_from == "point_head":
            if self.world_points is None:
                raise NotComputable("the prediction holds no point map (set keep.world_points)")
            return self.world_points[self.valid].astype(np.float64)
        return unproject(self.depth.astype(np.float64), self.extrinsics, self.intrinsics)[
            self.valid
        ]

    @cached_property
    def similarity(self) -> Similarity:
        """Umeyama's similarity from the prediction to the truth over corresponding pixels. Raises NotComputable."""
        try:
            return umeyama(self.predicted_points, self.true_points)
        except NotComputable:
            raise
        except ValueError as error:
            raise NotComputable(str(error)) from error

    @cached_property
    def aligned_points(self) -> np.ndarray:
        """Predicted points after Umeyama on corresponding pixels and rigid ICP [N, 3] (Pi3's protocol, steps 3 and 4)."""
        similar = self.similarity.apply(self.predicted_points)
        try:
            return move(icp(similar, self.true_points, self.scene.icp_distance).transform, similar)
        except ValueError as error:
            raise NotComputable(str(error)) from error

    @cached_property
    def surface(self) -> np.ndarray:
        """Points [N, 3] of the scanned surface. Raises NotComputable when the dataset has none."""
        points = self.dataset.surface(self.scene.name) if self.dataset else None
        if points is None:
            raise NotApplicable("the dataset has no scanned surface")
        return points.astype(np.float64)

    def sparse_points(self, view: int) -> np.ndarray | None:
        """Points of a reconstruction in view number ``view``: x, y in pixels of the prediction, z-depth; None without."""
        found = (
            self.dataset.sparse_points(self.scene.name, self.scene.frames[view])
            if self.dataset
            else None
        )
        if found is None or self.dataset is None:
            return None
        height, width = self.depth.shape[1:]
        own = self.dataset.read(self.scene.name, self.scene.frames[view]).image.shape
        whole = target_size(own[0], own[1], width, self.patch)[0]  # before tall images are cropped
        pixels = found[:, :2] * [width, whole] - 0.5
        return np.column_stack(
            [pixels[:, 0], pixels[:, 1] - max(0, (whole - height) // 2), found[:, 2]]
        )

    @cached_property
    def observation(self) -> Observation:
        """What DTU's scanner saw. Raises NotApplicable for other datasets."""
        found = self.dataset.observation(self.scene.name) if self.dataset else None
        if found is None:
            raise NotApplicable("the dataset has no masks of observed space")
        return found

    @cached_property
    def first_pose(self) -> np.ndarray:
        """Camera to world [4, 4] of the scene's first frame with a pose, chosen or not."""
        if self.dataset is None:
            return self.scene.c2w[0]
        return self.dataset.read(
            self.scene.name, self.dataset.frames(self.scene.name)[0]
        ).c2w.astype(np.float64)

    @cached_property
    def full_depth(self) -> np.ndarray:
        """True depth [S, H, W] at the dataset's own size; at the model's where that one shows a part of the image only."""
        valid, scene = self.valid, self.scene
        assert scene.depth is not None
        if self.dataset is None:
            return scene.depth
        maps = [self.dataset.read(scene.name, f).depth for f in scene.frames]
        height, width = valid.shape[1:]
        whole = all(
            d is not None and target_size(d.shape[0], d.shape[1], width, self.patch)[0] == height
            for d in maps
        )
        return np.stack([d for d in maps if d is not None]) if whole else scene.depth

    @property
    def true_c2w(self) -> np.ndarray:
        """True camera-to-world poses [S, 4, 4]. Raises NotApplicable when the dataset has none."""
        if not np.isfinite(self.scene.c2w).all():
            raise NotApplicable("the dataset has no poses")
        return self.scene.c2w

    @property
    def largest_depth(self) -> float:
        """True depth from which pixels of a sequence no longer count."""
        bound = self.dataset.largest_depth if self.dataset else None
        return bound if bound is not None else LARGEST_DEPTH if self.scene.unit == "m" else np.inf

    @cached_property
    def predicted_w2c(self) -> np.ndarray:
        """Predicted world-to-camera poses [S, 4, 4]."""
        bottom = np.broadcast_to([0.0, 0, 0, 1], (len(self.extrinsics), 1, 4))
        return np.concatenate([self.extrinsics, bottom], 1)

    @cached_property
    def true_w2c(self) -> np.ndarray:
        """True world-to-camera poses [S, 4, 4]. Raises NotApplicable when the dataset has none."""
        return np.linalg.inv(self.true_c2w)
