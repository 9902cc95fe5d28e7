"""The training loss of π³, on the same batches as VGGT's."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.api.reconstruction import Reconstruction
from bench3r.models.backbone import Backbone
from bench3r.models.geometry import camera_points, rigid_inverse
from bench3r.models.losses import Batch
from bench3r.models.trainable import BackboneLoss, Loss

CONFIDENT_ERROR = 0.05  # relative error of a point below which π³'s confidence should be 1
TRANSLATION_WEIGHT = 100.0  # of translations beside rotations in π³'s camera loss
TRANSLATION_DELTA = 0.1  # Huber, in units of the mean point distance
ALIGN_STRIDE = 4  # every fourth pixel finds the scale


def best_scale(predicted: Tensor, expected: Tensor, weight: Tensor) -> Tensor:
    """The scale [B] that minimises sum weight |scale * predicted - expected|_1 per scene.

    A weighted median. ``predicted`` and ``expected`` [B, ..., 3], ``weight`` [B, ...], 0 where
    unknown.
    """
    a = predicted.flatten(1)
    b = expected.flatten(1)
    ratio = b / torch.where(a.abs() < 1e-8, 1e-8, a)
    mass = weight[..., None].expand_as(expected).flatten(1) * a.abs()
    ratio, order = ratio.sort(1)
    total = mass.gather(1, order).cumsum(1)
    middle = torch.searchsorted(total, total[:, -1:] / 2).clamp(max=ratio.shape[1] - 1)
    return ratio.gather(1, middle)[:, 0].clamp(min=1e-4)


def normals(points: Tensor) -> Tensor:
    """Unit normals [..., H - 1, W - 1, 3] of a map of points [..., H, W, 3].

    From forward differences.
    """
    right = points.diff(dim=-2)[..., :-1, :, :]
    down = points.diff(dim=-3)[..., :-1, :]
    return F.normalize(torch.linalg.cross(right, down), dim=-1, eps=1e-8)


def pi3_losses(out: Reconstruction, batch: Batch, views: Tensor) -> dict[str, Tensor]:
    """π³'s loss (Wang et al. 2025, §3.4): points, normals, confidence, relative poses, each [].

    Points up to one scale per scene. Dense parts on the views ``views`` [V] that ``out`` has maps
    for.
    """
    local = out.extras["local_points"]
    logits = out.extras["conf_logits"]
    depth = batch.depth[:, views]
    valid = depth > 0
    expected = camera_points(depth, batch.intrinsics[:, views])
    weight = torch.where(valid, 1 / depth.clamp(min=1e-6), 0)
    sampled = slice(None, None, ALIGN_STRIDE)
    few = (slice(None), slice(None), sampled, sampled)
    scale = best_scale(local[few].detach(), expected[few], weight[few])
    aligned = scale[:, None, None, None, None] * local
    error = (aligned - expected).abs().sum(-1) * weight
    count = valid.sum().clamp(min=1)
    close = (error.detach() < CONFIDENT_ERROR) & valid
    flat = valid[..., :-1, :-1] & valid[..., 1:, :-1] & valid[..., :-1, 1:]
    cosine = (normals(aligned) * normals(expected)).sum(-1)
    bce = F.binary_cross_entropy_with_logits(logits, close.float(), reduction="none")
    return {
        "point": error.sum() / count,
        "normal": torch.where(flat, 1 - cosine, 0).sum() / flat.sum().clamp(min=1),
        "confidence": torch.where(valid, bce, 0).sum() / count,
        "camera": relative_pose_loss(out.extras["camera_poses"], scale, batch),
    }


def relative_pose_loss(poses: Tensor, scale: Tensor, batch: Batch) -> Tensor:
    """Rotation angle and Huber distance of translation of every pair of views: [].

    ``poses`` [B, S, 4, 4] camera to world in any frame, ``scale`` [B] to the batch's units.
    """
    bottom = batch.extrinsics.new_tensor([0.0, 0, 0, 1]).expand(*batch.extrinsics.shape[:2], 1, 4)
    known = torch.cat([batch.extrinsics, bottom], 2)
    # [B, S, S, 4, 4]: camera j seen from i
    expected = known[:, :, None] @ rigid_inverse(known)[:, None]
    found = rigid_inverse(poses)[:, :, None] @ poses[:, None]
    pairs = ~torch.eye(poses.shape[1], dtype=torch.bool, device=poses.device)
    difference = (
        (found - expected)[..., :3, :3].flatten(-2).norm(dim=-1)
    )  # 2 sqrt(2) sin(angle / 2)
    angle = 2 * (difference / math.sqrt(8)).clamp(max=1 - 1e-6).asin()
    shift = scale[:, None, None, None] * found[..., :3, 3] - expected[..., :3, 3]
    none = torch.zeros_like(shift)
    distance = F.huber_loss(shift, none, reduction="none", delta=TRANSLATION_DELTA)
    return (angle + TRANSLATION_WEIGHT * distance.mean(-1))[:, pairs].mean()


def build_loss(model: Backbone, weights: Mapping[str, float]) -> Loss:
    """The loss that a π³ is trained with."""
    return BackboneLoss(model, weights, pi3_losses)
