"""Control: ground truth plus noise. The best score that a protocol can give a nearly perfect method."""

import numpy as np
import torch
from pydantic import Field
from scipy.spatial.transform import Rotation

from bench3r.dataset import SceneData
from bench3r.errors import Unsupported
from bench3r.method import BuildContext, Method, MethodOptions, Predictor
from bench3r.models.reconstruction import Reconstruction


class Oracle(Method):
    """True depth with relative noise, true poses with angular and positional noise."""

    name = "oracle"
    label = "oracle (truth + noise)"
    kind = "control"

    class Options(MethodOptions):
        depth_noise: float = Field(0.05, ge=0, description="standard deviation of the log depth")
        rotation_deg: float = Field(2.0, ge=0, description="rotation error of every view but the first")
        translation: float = Field(0.02, ge=0, description="positional error as a share of the median depth")

    def build(self, context: BuildContext) -> Predictor:
        return lambda images, scene: self.perturb(scene, context.seed)

    def perturb(self, scene: SceneData | None, seed: int) -> Reconstruction:
        """The truth of ``scene`` with noise that depends on the scene's name and ``seed`` only."""
        if scene is None or scene.depth is None:
            raise Unsupported("the oracle needs true depth, which this dataset does not have")
        rng = np.random.default_rng([seed, *scene.name.encode()])
        known = scene.depth > 0
        filled = np.where(known, scene.depth, np.median(scene.depth[known]))
        depth = filled * np.exp(rng.normal(0, self.options.depth_noise, filled.shape))
        w2c = np.linalg.inv(scene.c2w)
        axis = rng.normal(size=(len(w2c), 3))
        axis *= np.radians(self.options.rotation_deg) / np.linalg.norm(axis, axis=1, keepdims=True)
        axis[0] = 0
        w2c[:, :3, :3] = Rotation.from_rotvec(axis).as_matrix() @ w2c[:, :3, :3]
        w2c[1:, :3, 3] += self.options.translation * np.median(filled) * rng.normal(size=(len(w2c) - 1, 3))
        return Reconstruction(
            extrinsics=_batch(w2c[:, :3]),
            intrinsics=_batch(scene.intrinsics),
            depth=_batch(depth),
            depth_conf=_batch(np.ones_like(depth)),
        )


def _batch(array: np.ndarray) -> torch.Tensor:
    """Float32 tensor with a leading batch dimension."""
    return torch.from_numpy(array).float()[None]
