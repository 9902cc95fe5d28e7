"""Control: median z-depth of the training set, identity poses, median field of view.

It has never looked at its input: a method that scores no better has learned nothing.
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

# vertical, horizontal, radians: where no training scene knows its intrinsics
USUAL_FOV = (0.84, 1.05)
GRID = 48  # the depth map is kept at this many pixels a side


class Trivial(Method):
    """The same depth map and the same pose for every view."""

    name = "trivial"
    label = "trivial (median depth)"
    kind = "control"

    def fit(self, scenes: Iterator[SceneData], context: BuildContext) -> dict[str, torch.Tensor]:
        """Median z-depth [48, 48] of every pixel, and median fields of view [2].

        Depth maps are divided by their scene's median first. Raises Bench3RError without any.
        """
        maps: list[torch.Tensor] = []
        fovs: list[np.ndarray] = []
        for scene in scenes:
            if scene.depth is None:
                continue
            relative = scene.depth / np.median(scene.depth[scene.depth > 0])
            depth = torch.from_numpy(relative)[:, None]
            maps.append(F.interpolate(depth, (GRID, GRID), mode="nearest")[:, 0])
            size = np.array(scene.images.shape[1:3])
            focal = np.array([scene.intrinsics[0, 1, 1], scene.intrinsics[0, 0, 0]])
            if np.isfinite(focal).all():
                fovs.append(2 * np.arctan(size / 2 / focal))
        if not maps:
            raise Bench3RError("trivial: no training scene has depth")
        stacked = torch.cat(maps)
        stacked[stacked <= 0] = float("nan")
        fov = np.median(fovs or [np.array(USUAL_FOV)], axis=0)
        return {
            "depth": stacked.nanmedian(0).values.nan_to_num(1.0),
            "fov": torch.from_numpy(fov).float(),
        }

    def build(self, context: BuildContext) -> Predictor:
        """The predictor. Raises Bench3RError before the train stage has run."""
        if context.fitted is None:
            raise Bench3RError("trivial: the train stage has to run first")
        learned = read_state_dict(context.fitted)
        return lambda images: self.guess(images, learned)

    def guess(self, images: torch.Tensor, learned: dict[str, torch.Tensor]) -> Reconstruction:
        """The reconstruction of ``images`` [1, S, 3, H, W], whatever they show.

        ``learned`` is what :meth:`fit` returned: depth [48, 48], fields of view [2].
        """
        _, s, _, h, w = images.shape
        depth = F.interpolate(learned["depth"][None, None], (h, w), mode="bilinear")[0]
        depth = depth.expand(1, s, h, w)
        identity = torch.tensor([0.0, 0, 0, 0, 0, 0, 1]).expand(1, s, 7)
        pose = torch.cat([identity, learned["fov"].expand(1, s, 2)], -1)
        extrinsics, intrinsics = decode_pose(pose, (h, w))
        return Reconstruction(extrinsics, intrinsics, depth, torch.ones_like(depth))
