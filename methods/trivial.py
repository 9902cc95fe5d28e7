"""Control: the per-pixel median depth of the training set, identity poses and its median field of view.

What a method scores that has never looked at its input. Anything near it has learned nothing.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from bench3r.api.errors import Bench3RError
from bench3r.api.method import BuildContext, Method, Predictor
from bench3r.api.reconstruction import Reconstruction
from bench3r.api.scene import SceneData
from bench3r.models.geometry import decode_pose
from bench3r.models.weights import read_state_dict

USUAL_FOV = (
    0.84,
    1.05,
)  # vertical, horizontal, radians: where no training scene knows its intrinsics
GRID = 48  # the depth map is kept at this many pixels a side


class Trivial(Method):
    """The same depth map and the same pose for every view."""

    name = "trivial"
    label = "trivial (median depth)"
    kind = "control"

    def fit(self, scenes: Iterator[SceneData], context: BuildContext) -> dict[str, torch.Tensor]:
        """Per-pixel median of depth maps divided by their scene's median, and the median fields of view."""
        maps, fovs = [], []
        for scene in scenes:
            if scene.depth is None:
                continue
            depth = torch.from_numpy(scene.depth / np.median(scene.depth[scene.depth > 0]))[:, None]
            maps.append(F.interpolate(depth, (GRID, GRID), mode="nearest")[:, 0])
            size = np.array(scene.images.shape[1:3])
            focal = np.array([scene.intrinsics[0, 1, 1], scene.intrinsics[0, 0, 0]])
            if np.isfinite(focal).all():
                fovs.append(2 * np.arctan(size / 2 / focal))
        if not maps:
            raise Bench3RError("trivial: no training scene has depth")
        stacked = torch.cat(maps)
        stacked[stacked <= 0] = float("nan")
        depth = stacked.nanmedian(0).values.nan_to_num(1.0)
        return {
            "depth": depth,
            "fov": torch.from_numpy(np.median(fovs or [USUAL_FOV], axis=0)).float(),
        }

    def build(self, context: BuildContext) -> Predictor:
        if context.fitted is None:
            raise Bench3RError("trivial: the train stage has to run first")
        learned = read_state_dict(context.fitted)
        return lambda images: self.guess(images, learned)

    def guess(self, images: torch.Tensor, learned: dict[str, torch.Tensor]) -> Reconstruction:
        """The same reconstruction whatever ``images`` [1, S, 3, H, W] show, apart from their size and number."""
        _, s, _, h, w = images.shape
        depth = F.interpolate(learned["depth"][None, None], (h, w), mode="bilinear")[0].expand(
            1, s, h, w
        )
        identity = torch.tensor([0.0, 0, 0, 0, 0, 0, 1]).expand(1, s, 7)
        extrinsics, intrinsics = decode_pose(
            torch.cat([identity, learned["fov"].expand(1, s, 2)], -1), (h, w)
        )
        return Reconstruction(extrinsics, intrinsics, depth, torch.ones_like(depth))
