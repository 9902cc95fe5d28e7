"""Control: ground truth plus noise, which shows what a protocol gives a nearly perfect method.

A network errs smoothly: over an object, not from pixel to pixel. So the noise of the z-depth is a
smooth field; independent noise in every pixel would hardly move a point cloud's distances and ruin
its normals, its roughness and its steps between patches, and bound none of these.
"""

import numpy as np
import torch
from pydantic import Field
from scipy.ndimage import distance_transform_edt, zoom
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from bench3r.api.errors import Unsupported
from bench3r.api.method import BuildContext, Method, MethodOptions, Predictor
from bench3r.api.reconstruction import Reconstruction
from bench3r.api.scene import SceneData

NODES = 4  # of the noise across and down an image, with smooth values between them


class Oracle(Method):
    """Ground-truth z-depth and poses with a little smooth noise."""

    name = "oracle"
    label = "oracle (ground truth + noise)"
    kind = "control"
    conditions_on = ("ground_truth",)

    class Options(MethodOptions):
        """How much noise: less than the errors of today's best models."""

        depth_noise: float = Field(
            0.01, ge=0, description="standard deviation of the log z-depth's smooth error"
        )
        rotation_deg: float = Field(
            0.5, ge=0, description="RMS rotation error of every view but the first"
        )
        translation: float = Field(
            0.005, ge=0, description="positional error as a share of the distance between cameras"
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
        filled = _filled(scene.depth)
        depth = filled * np.exp(self.options.depth_noise * _smooth(filled.shape, rng))
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
            facts={"dataset_unit": True},
        )

    def _move(self, c2w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Poses [S, 4, 4] with noise in all but the first."""
        views = len(c2w)
        axis = rng.normal(0, np.radians(self.options.rotation_deg) / np.sqrt(3), (views, 3))
        axis[0] = 0
        turn = Rotation.from_rotvec(axis).as_matrix()
        moved = c2w.copy()
        moved[:, :3, :3] = c2w[:, :3, :3] @ turn  # about the camera's own centre
        if views > 1:
            apart = self.options.translation * np.median(pdist(c2w[:, :3, 3]))
            shift = apart * rng.normal(size=(views - 1, 3))  # in the axes of view 0
            moved[1:, :3, 3] += shift @ moved[0, :3, :3].T
        return moved


def _filled(depth: np.ndarray) -> np.ndarray:
    """z-depth [S, H, W] with the nearest known one where it is unknown."""
    filled = np.full(depth.shape, np.median(depth[depth > 0]))
    for view, out in zip(depth, filled, strict=True):
        if (view > 0).any():
            near = distance_transform_edt(view <= 0, return_distances=False, return_indices=True)
            out[:] = view[tuple(near)]
    return filled


def _smooth(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A smooth random field [S, H, W] of mean 0 and standard deviation 1 in every view."""
    views, height, width = shape
    nodes = rng.normal(size=(views, NODES, NODES))
    field = zoom(nodes, (1, height / NODES, width / NODES), order=3, mode="nearest", grid_mode=True)
    field -= field.mean((1, 2), keepdims=True)
    return field / field.std((1, 2), keepdims=True)


def _some_camera(depth: np.ndarray) -> np.ndarray:
    """Intrinsics [3, 3] with the width of ``depth`` [S, H, W] as focal length."""
    height, width = depth.shape[1:]
    return np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])


def _batch(array: np.ndarray) -> torch.Tensor:
    """Float32 tensor with a leading batch dimension."""
    return torch.from_numpy(array).float()[None]
