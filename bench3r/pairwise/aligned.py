"""What an alignment finds: cameras and depth of all images in one world."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench3r.api.errors import InvalidPrediction
from bench3r.models.geometry import rigid_inverse
from bench3r.pairwise.registration import pixel_grid


@dataclass
class Aligned:
    """Cameras and depth of all images in one world."""

    poses: Tensor  # [S, 4, 4] camera to world
    focals: Tensor  # [S] pixels
    depths: list[Tensor]  # [H, W] each
    confidence: list[Tensor]  # [H, W] each
    loss: float  # after optimisation; of a closed form NaN
    start_loss: float
    converged: bool
    iterations: int
    principal: Tensor | None = None  # [S, 2] (x, y) pixels; None: the middle of each image

    def intrinsics(self) -> Tensor:
        """Pinhole matrices [S, 3, 3] in pixels."""
        k = torch.eye(3, device=self.focals.device).repeat(len(self.focals), 1, 1)
        k[:, 0, 0] = self.focals
        k[:, 1, 1] = self.focals
        if self.principal is None:
            middle = [[d.shape[1] / 2, d.shape[0] / 2] for d in self.depths]
            k[:, :2, 2] = torch.tensor(middle, device=k.device)
        else:
            k[:, :2, 2] = self.principal
        return k


def check_focals(focals: Tensor, sizes: list[tuple[int, int]]) -> None:
    """Accept focal lengths [S] of 0.1 to 20 times the longer side of their image, in pixels.

    Raises InvalidPrediction for others.
    """
    for i, (focal, size) in enumerate(zip(focals.tolist(), sizes, strict=True)):
        if not 0.1 <= focal / max(size) <= 20:
            raise InvalidPrediction(
                f"the points of image {i} fit no camera: "
                f"focal length {focal:.4g} pixels for {size[1]} x {size[0]}"
            )


def clean(aligned: Aligned, tolerance: float = 1e-3) -> list[Tensor]:
    """Confidence maps [H, W] without points that stand in front of what another view is surer of.

    Such points would hide what that view saw; their confidence becomes 0. ``tolerance``: relative
    z-depth.
    """
    out = [c.clone() for c in aligned.confidence]
    k = aligned.intrinsics()
    for i, depth in enumerate(aligned.depths):
        world = _world(aligned, k, i)
        for j in range(len(aligned.depths)):
            if i != j:
                hidden = _hides(aligned, k, world, out[i], j, tolerance)
                out[i] = torch.where(hidden.view(depth.shape), 0.0, out[i])
    return out


def _world(aligned: Aligned, k: Tensor, image: int) -> Tensor:
    """World points [H * W, 3] of an image."""
    depth = aligned.depths[image]
    height, width = depth.shape
    pixel = pixel_grid(height, width, depth.device)
    ray = (pixel - k[image, :2, 2]) / aligned.focals[image]
    camera = torch.cat([ray, torch.ones_like(ray[..., :1])], -1) * depth[..., None]
    pose = aligned.poses[image]
    return camera.flatten(0, 1) @ pose[:3, :3].T + pose[:3, 3]


def _hides(
    aligned: Aligned, k: Tensor, world: Tensor, confidence: Tensor, other: int, tolerance: float
) -> Tensor:
    """Which ``world`` points [N, 3] hide what the ``other`` image sees with more confidence [N]."""
    depth = aligned.depths[other]
    height, width = depth.shape
    view = rigid_inverse(aligned.poses[other])
    seen = world @ view[:3, :3].T + view[:3, 3]
    z = seen[:, 2]
    pixel = seen[:, :2] / z.clamp(min=1e-6)[:, None] * aligned.focals[other] + k[other, :2, 2]
    u, v = pixel.round().T
    inside = (z > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    where = v.clamp(0, height - 1).long() * width + u.clamp(0, width - 1).long()
    hides = inside & (z < (1 - tolerance) * depth.flatten()[where])
    weaker = confidence.flatten() < aligned.confidence[other].flatten()[where]
    return hides & weaker
