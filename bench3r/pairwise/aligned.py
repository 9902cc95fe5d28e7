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
        k[:, 0, 0] = k[:, 1, 1] = self.focals
        middle = [[d.shape[1] / 2, d.shape[0] / 2] for d in self.depths]
        k[:, :2, 2] = (
            self.principal if self.principal is not None else torch.tensor(middle, device=k.device)
        )
        return k


def check_focals(focals: Tensor, sizes: list[tuple[int, int]]) -> None:
    """Raise InvalidPrediction for focal lengths outside 0.1 to 20 times the longer side of the image."""
    for i, (focal, size) in enumerate(zip(focals.tolist(), sizes, strict=True)):
        if not 0.1 <= focal / max(size) <= 20:
            raise InvalidPrediction(
                f"the points of image {i} fit no camera: focal length {focal:.4g} pixels for {size[1]} x {size[0]}"
            )


def clean(aligned: Aligned, tolerance: float = 1e-3) -> list[Tensor]:
    """Confidence maps without points that stand in front of what another view sees with more confidence.

    Such points would hide what that view saw; their confidence becomes 0. ``tolerance``: relative depth.
    """
    out = [c.clone() for c in aligned.confidence]
    k = aligned.intrinsics()
    for i, depth in enumerate(aligned.depths):
        height, width = depth.shape
        ray = (pixel_grid(height, width, depth.device) - k[i, :2, 2]) / aligned.focals[i]
        camera = torch.cat([ray, torch.ones_like(ray[..., :1])], -1) * depth[..., None]
        world = camera.flatten(0, 1) @ aligned.poses[i, :3, :3].T + aligned.poses[i, :3, 3]
        for j, other in enumerate(aligned.depths):
            if i == j:
                continue
            view = rigid_inverse(aligned.poses[j])
            seen = world @ view[:3, :3].T + view[:3, 3]
            z = seen[:, 2]
            h, w = other.shape
            u, v = (
                (seen[:, :2] / z.clamp(min=1e-6)[:, None] * aligned.focals[j] + k[j, :2, 2])
                .round()
                .T
            )
            inside = (z > 0) & (u >= 0) & (u < w) & (v >= 0) & (v < h)
            where = v.clamp(0, h - 1).long() * w + u.clamp(0, w - 1).long()
            hides = inside & (z < (1 - tolerance) * other.flatten()[where])
            weaker = out[i].flatten() < aligned.confidence[j].flatten()[where]
            out[i] = torch.where((hides & weaker).view(height, width), 0.0, out[i])
    return out
