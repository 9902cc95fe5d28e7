"""What a protocol scores: a saved prediction beside the ground truth, and shared steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench3r.api.dataset import Dataset
from bench3r.api.scene import SceneData
from bench3r.data.resize import target_size
from bench3r.metrics.alignment import Similarity, icp, move, umeyama
from bench3r.metrics.clouds import Cloud, CloudPair
from bench3r.metrics.dtu import Observation
from bench3r.metrics.projection import homogeneous, unproject
from bench3r.protocols.missing import NotApplicable, NotComputable

LARGEST_DEPTH = 80.0  # metres; the released evaluation's bound where a dataset states none


@dataclass
class Scored:
    """A saved prediction, in its own frame and scale, beside the ground truth. All float64.

    What several protocols need is computed once, when it is first asked for.
    """

    scene: SceneData
    depth: np.ndarray  # [S, H, W] z-depth
    extrinsics: np.ndarray  # [S, 3, 4] world to camera
    intrinsics: np.ndarray  # [S, 3, 3]
    # [S, H, W, 3], when a head predicted them and they were kept
    world_points: np.ndarray | None = None
    points_from: str = "depth_camera"
    # [S, h, w] recursions of every patch, of methods that have them
    recursion_depth: np.ndarray | None = None
    patch: int = 8  # side of a patch in pixels
    held_out: list[int] | None = None  # views that were only localised, of methods that do that
    depth_conf: np.ndarray | None = None  # [S, H, W], when it was kept
    dataset_unit: bool = False  # whether the method says that its lengths are in the dataset's unit
    # what the unchanged backbone predicted, where the run has it
    reference: dict[str, np.ndarray] | None = None
    # for what scenes do not carry: scanned surfaces, full-size depth
    dataset: Dataset | None = None
    workers: int = 1  # threads of searches in point clouds

    @cached_property
    def true_maps(self) -> np.ndarray:
        """True z-depth [S, H, W], 0 where unknown. Raises NotComputable when there is none."""
        if self.scene.depth is None:
            raise NotComputable("the dataset has no depth")
        if not (self.scene.depth > 0).any():
            raise NotComputable("no pixel of the scene has true depth")
        return self.scene.depth.astype(np.float64)

    @cached_property
    def valid(self) -> np.ndarray:
        """Mask [S, H, W] of the pixels with true depth. Raises NotComputable without any."""
        return self.true_maps > 0

    @cached_property
    def true_depth(self) -> np.ndarray:
        """True z-depth of the valid pixels [N]. Raises NotComputable when there are none."""
        return self.true_maps[self.valid]

    @cached_property
    def predicted_depth(self) -> np.ndarray:
        """Predicted z-depth at the same pixels [N]. Raises NotComputable without true depth."""
        return self.depth[self.valid].astype(np.float64)

    @cached_property
    def true_points(self) -> np.ndarray:
        """True world points of the valid pixels [N, 3].

        Raises NotComputable without true depth, NotApplicable without intrinsics or poses.
        """
        depth = self.true_maps
        if not np.isfinite(self.scene.intrinsics).all():
            raise NotApplicable("the dataset has no intrinsics")
        return unproject(depth, self.true_w2c[:, :3], self.scene.intrinsics)[self.valid]

    @cached_property
    def true_cloud(self) -> Cloud:
        """The true points, to be searched. Raises as :attr:`true_points`."""
        return Cloud(self.true_points, self.workers)

    @property
    def predicted_maps(self) -> np.ndarray:
        """Predicted world points of all pixels [S, H, W, 3], from depth and camera."""
        return unproject(self.depth.astype(np.float64), self.extrinsics, self.intrinsics)

    @cached_property
    def predicted_points(self) -> np.ndarray:
        """Predicted world points of the valid pixels [N, 3]: from depth and camera, or the head.

        Raises NotComputable without true depth, and when the point map was not kept.
        """
        if self.points_from != "point_head":
            return self.predicted_maps[self.valid]
        if self.world_points is None:
            raise NotComputable("the prediction holds no point map (set keep.world_points)")
        return self.world_points[self.valid].astype(np.float64)

    @cached_property
    def similarity(self) -> Similarity:
        """Umeyama's similarity from the prediction to the ground truth, by pixels.

        Raises NotComputable when the points are too few or cannot be aligned.
        """
        predicted = self.predicted_points
        true = self.true_points
        try:
            return umeyama(predicted, true)
        except ValueError as error:
            raise NotComputable(str(error)) from error

    @cached_property
    def aligned(self) -> CloudPair:
        """Predicted points, aligned, beside the true ones (Pi3's protocol, steps 3 and 4).

        Umeyama on corresponding pixels, then rigid ICP. Raises NotComputable when the points
        cannot be aligned.
        """
        similar = self.similarity.apply(self.predicted_points)
        try:
            refined = icp(similar, self.true_cloud, self.scene.icp_distance)
        except ValueError as error:
            raise NotComputable(str(error)) from error
        return CloudPair(Cloud(move(refined.transform, similar), self.workers), self.true_cloud)

    @cached_property
    def surface(self) -> np.ndarray:
        """Points [N, 3] of the scanned surface. Raises NotApplicable when there is none."""
        points = self.dataset.surface(self.scene.name) if self.dataset else None
        if points is None:
            raise NotApplicable("the dataset has no scanned surface")
        return points.astype(np.float64)

    def sparse_points(self, view: int) -> np.ndarray | None:
        """Points [N, 3] of a reconstruction in view number ``view``; None without.

        x, y in pixels of the prediction, and z-depth.
        """
        if self.dataset is None:
            return None
        frame = self.scene.frames[view]
        found = self.dataset.sparse_points(self.scene.name, frame)
        if found is None:
            return None
        height, width = self.depth.shape[1:]
        own_height, own_width = self.dataset.read(self.scene.name, frame).image.shape[:2]
        # before tall images are cropped
        whole = target_size(own_height, own_width, width, self.patch)[0]
        pixels = found[:, :2] * [width, whole] - 0.5
        cropped = max(0, (whole - height) // 2)
        return np.column_stack([pixels[:, 0], pixels[:, 1] - cropped, found[:, 2]])

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
        first = self.dataset.frames(self.scene.name)[0]
        return self.dataset.read(self.scene.name, first).c2w.astype(np.float64)

    @cached_property
    def full_depth(self) -> np.ndarray:
        """True z-depth [S, H, W] at the dataset's own size.

        At the model's size where that one shows a part of the image only. Raises NotComputable
        when there is none.
        """
        at_model_size = self.true_maps
        if self.dataset is None:
            return at_model_size
        height, width = at_model_size.shape[1:]
        maps = []
        for frame in self.scene.frames:
            depth = self.dataset.read(self.scene.name, frame).depth
            if depth is None:
                return at_model_size
            own_height, own_width = depth.shape
            if target_size(own_height, own_width, width, self.patch)[0] != height:
                return at_model_size
            maps.append(depth)
        return np.stack(maps)

    @property
    def true_c2w(self) -> np.ndarray:
        """True camera-to-world poses [S, 4, 4]. Raises NotApplicable when there are none."""
        if not np.isfinite(self.scene.c2w).all():
            raise NotApplicable("the dataset has no poses")
        return self.scene.c2w

    @property
    def largest_depth(self) -> float:
        """True z-depth from which pixels of a sequence no longer count."""
        if self.dataset is not None and self.dataset.largest_depth is not None:
            return self.dataset.largest_depth
        return LARGEST_DEPTH if self.scene.unit == "m" else np.inf

    @cached_property
    def predicted_w2c(self) -> np.ndarray:
        """Predicted world-to-camera poses [S, 4, 4]."""
        return homogeneous(self.extrinsics)

    @cached_property
    def true_w2c(self) -> np.ndarray:
        """True world-to-camera poses [S, 4, 4]. Raises NotApplicable when there are none."""
        return np.linalg.inv(self.true_c2w)
