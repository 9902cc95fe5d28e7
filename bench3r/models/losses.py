"""Training batches, and the losses that several backbones share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.models.geometry import unproject

CONFIDENCE_ALPHA = 0.2  # weight of -log(confidence)
# nearly L1: baselines are short beside the scene, and their errors must still count
HUBER_DELTA = 0.01


@dataclass
class Batch:
    """Training scenes in the frame of their first camera.

    Scaled so that valid points lie 1 from it on average.
    """

    images: Tensor  # [B, S, 3, H, W] in [0, 1]
    depth: Tensor  # [B, S, H, W], 0 where unknown
    extrinsics: Tensor  # [B, S, 3, 4] world to camera
    intrinsics: Tensor  # [B, S, 3, 3]
    points: Tensor  # [B, S, H, W, 3]
    queries: Tensor  # [B, N, 2] pixels of the first view
    tracks: Tensor  # [B, S, N, 2] pixels
    visible: Tensor  # [B, S, N] bool
    tracked: Tensor  # [B, S, N] bool: position known (in front of the camera)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on ``device``."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def normalise(
    depth: Tensor, extrinsics: Tensor, intrinsics: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Depth, extrinsics and points relative to view 0, scaled to a mean point distance of 1.

    ``depth`` [B, S, H, W] in any unit, ``extrinsics`` [B, S, 3, 4], ``intrinsics`` [B, S, 3, 3];
    points are [B, S, H, W, 3]. Raises ValueError for a scene without any valid depth.
    """
    bottom = torch.tensor([0.0, 0, 0, 1]).to(extrinsics).expand(*extrinsics.shape[:2], 1, 4)
    square = torch.cat([extrinsics, bottom], 2)
    relative = square @ torch.linalg.inv(square[:, :1])
    extrinsics = relative[:, :, :3]
    points = unproject(depth, extrinsics, intrinsics)
    valid = depth > 0
    counts = valid.flatten(1).sum(1)
    if (counts == 0).any():
        raise ValueError("a training scene has no pixel with valid depth")
    scale = (points.norm(dim=-1) * valid).flatten(1).sum(1) / counts  # [B]
    each = scale[:, None, None, None]
    extrinsics = torch.cat([extrinsics[..., :3], extrinsics[..., 3:] / each], -1)
    return depth / each, extrinsics, points / each[..., None]


def camera_loss(poses: list[Tensor], expected: Tensor, gamma: float = 0.6) -> Tensor:
    """Huber distance [] of pose encodings ``poses`` to ``expected``, each [B, S, 9].

    Of every refinement step; earlier ones weigh ``gamma`` less.
    """
    total = poses[0].new_zeros(())
    for k, pose in enumerate(poses):
        error = F.huber_loss(pose, expected, reduction="none", delta=HUBER_DELTA) / HUBER_DELTA
        step = error[..., :3].mean() + error[..., 3:7].mean() + 0.5 * error[..., 7:].mean()
        total = total + gamma ** (len(poses) - 1 - k) * step
    return total / len(poses)


def dense_loss(predicted: Tensor, confidence: Tensor, expected: Tensor, valid: Tensor) -> Tensor:
    """Confidence-weighted distance plus its gradient term minus alpha log confidence: [].

    ``predicted`` and ``expected`` [B, S, H, W, C], ``confidence`` and ``valid`` [B, S, H, W].
    """
    residual = predicted - expected
    count = valid.sum().clamp(min=1)
    error = torch.where(valid, residual.norm(dim=-1), 0)
    total = (confidence * error).sum() / count
    for dim in (2, 3):
        steps = valid.shape[dim] - 1
        both = valid.narrow(dim, 1, steps) & valid.narrow(dim, 0, steps)
        slope = residual.diff(dim=dim).abs().sum(-1)
        weight = confidence.narrow(dim, 1, steps)
        total = total + torch.where(both, weight * slope, 0).sum() / count
    return total - CONFIDENCE_ALPHA * torch.where(valid, confidence.log(), 0).sum() / count


def cross_entropy(probability: Tensor, expected: Tensor) -> Tensor:
    """Binary cross-entropy [] of probabilities [...] in [0, 1] with boolean ``expected`` [...].

    NaN stays NaN.
    """
    p = probability.clamp(1e-6, 1 - 1e-6)
    return -torch.where(expected, p.log(), (1 - p).log()).mean()
