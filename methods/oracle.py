"""Control: ground truth plus noise, which shows what a protocol gives a nearly perfect method."""

import numpy as np
import torch
from pydantic import Field
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from bench3r.api.errors import Unsupported
from bench3r.api.method import BuildContext, Method, MethodOptions, Predictor
from bench3r.api.reconstruction import Reconstruction
from bench3r.api.scene import SceneData


class Oracle(Method):
    """Ground-truth z-depth with relative noise, poses with angular and positional noise."""

    name = "oracle"
    label = "oracle (ground truth + noise)"
    kind = "control"
    conditions_on = ("ground_truth",)

    class Options(MethodOptions):
        """How much noise."""

        depth_noise: float = Field(0.05, ge=0, description="standard deviation of the log z-depth")
        rotation_deg: float = Field(
            2.0, ge=0, description="rotation error of every view but the first"
        )
        translation: float = Field(
            0.02, ge=0, description="positional error as a share of the distance between cameras"
        )

    def build(self, context: BuildContext) -> Predictor:
        return lambda images, ground_truth: self.perturb(ground_truth, context.seed)

    def perturb(self, scene: SceneData, seed: int) -> Reconstruction:
        """The ground truth of ``scene`` with noise that depends on its name and ``seed`` only.

        Raises Unsupported for a scene without z-depth.
        """
        if scene.depth is None:
            raise Unsupported("the oracle needs ground-truth depth, which this dataset lacks")
        rng = np.random.default_rng([seed, *scene.name.encode()])
        known = scene.depth > 0
        filled = np.where(known, scene.depth, np.median(scene.depth[known]))
        depth = filled * np.exp(rng.normal(0, self.options.depth_noise, filled.shape))
        c2w = scene.c2w.astype(np.float64)
        intrinsics = scene.intrinsics
        if not (np.isfinite(c2w).all() and np.isfinite(intrinsics).all()):  # z-depth alone is known
            c2w = np.tile(np.eye(4), (len(c2w), 1, 1))
            intrinsics = np.tile(_some_camera(depth), (len(c2w), 1, 1))
        c2w = self._move(c2w, rng)
        return Reconstruction(
            extrinsics=_batch(np.linalg.inv(c2w)[:, :3]),
            intrinsics=_batch(intrinsics),
            depth=_batch(depth),
            depth_conf=_batch(np.ones_like(depth)),
        )

    def _move(self, c2w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Poses [S, 4, 4] with noise in all but the first."""
        views = len(c2w)
        axis = rng.normal(size=(views, 3))
        axis *= np.radians(self.options.rotation_deg) / np.linalg.norm(axis, axis=1, keepdims=True)
        axis[0] = 0
        turn = Rotation.from_rotvec(axis).as_matrix()
        moved = c2w.copy()
        moved[:, :3, :3] = c2w[:, :3, :3] @ turn  # about the camera's own centre
        if views > 1:
            apart = self.options.translation * np.median(pdist(c2w[:, :3, 3]))
            shift = apart * rng.normal(size=(views - 1, 3))  # in the axes of view 0
            moved[1:, :3, 3] += shift @ moved[0, :3, :3].T
        return moved


def _some_camera(depth: np.ndarray) -> np.ndarray:
    """Intrinsics [3, 3] with the width of ``depth`` [S, H, W] as focal length."""
    height, width = depth.shape[1:]
    return np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])


def _batch(array: np.ndarray) -> torch.Tensor:
    """Float32 tensor with a leading batch dimension."""
    return torch.from_numpy(array).float()[None]
