"""What every model returns."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from bench3r.api.presentation import Facts

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Reconstruction:
    """Geometry of a set of views.

    World frame: camera 0 by convention. OpenCV axes, z-depth, integer pixel centres. Shapes use B
    scenes, S views, images of H x W pixels, h x w patches, N tracked points.
    """

    extrinsics: Tensor  # [B, S, 3, 4] world to camera
    intrinsics: Tensor  # [B, S, 3, 3] pixels
    depth: Tensor  # [B, S, H, W], model units
    depth_conf: Tensor  # [B, S, H, W]
    world_points: Tensor | None = None  # [B, S, H, W, 3], only when a head predicts them
    world_points_conf: Tensor | None = None  # [B, S, H, W]
    tracks: Tensor | None = None  # [B, S, N, 2] pixels (x, y)
    visibility: Tensor | None = None  # [B, S, N] in [0, 1]
    track_conf: Tensor | None = None  # [B, S, N] in [0, 1]
    recursion_depth: Tensor | None = None  # [B, S, h, w] recursion steps of each patch
    facts: Facts = field(default_factory=dict)  # what the method records of this input
    # tensors for losses and for counting FLOPs: pose_encodings, rays, what a choice stands on
    extras: dict[str, Any] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """The fields that hold tensors, by name, in their shapes [B, S, ...]."""
        import torch

        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}

    def problems(self, images: Tensor) -> list[str]:
        """What makes this reconstruction of ``images`` [B, S, 3, H, W] invalid; [] when sound."""
        import torch

        b, s, _, h, w = images.shape
        expected = {
            "extrinsics": (b, s, 3, 4),
            "intrinsics": (b, s, 3, 3),
            "depth": (b, s, h, w),
            "depth_conf": (b, s, h, w),
            "world_points": (b, s, h, w, 3),
            "world_points_conf": (b, s, h, w),
        }
        found = []
        for name, tensor in self.tensors().items():
            shape = expected.get(name)
            if shape and tuple(tensor.shape) != shape:
                found.append(f"{name} has shape {tuple(tensor.shape)}, expected {shape}")
            elif not torch.isfinite(tensor).all():
                bad = (~torch.isfinite(tensor)).float().mean().item()
                found.append(f"{name} holds NaN or infinity in {bad:.1%} of its elements")
        if not found and not (self.depth > 0).any():
            found.append("depth has no positive value")
        return found
