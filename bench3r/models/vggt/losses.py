"""VGGT's multi-task loss (Wang et al. 2025, §3.4): camera, depth, point map and track.

Weighted 5 / 1 / 1 / 0.05.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench3r.api.reconstruction import Reconstruction
from bench3r.models.backbone import Backbone
from bench3r.models.geometry import encode_pose
from bench3r.models.losses import Batch, camera_loss, cross_entropy, dense_loss
from bench3r.models.trainable import BackboneLoss, Loss

TRACK_WIDTH = 518.0  # pixels


def track_loss(
    tracks: list[Tensor], visibility: Tensor, confidence: Tensor, batch: Batch, gamma: float = 0.8
) -> Tensor:
    """L1 distance of the tracks where ground truth is visible: [].

    Plus cross-entropy of visibility and confidence. ``tracks`` [B, S, N, 2] of every iteration;
    ``visibility`` and ``confidence`` [B, S, N]. Distances are in pixels of a 518-px wide image,
    VGGT's resolution, so that its weight of 0.05 means the same here.
    """
    known = batch.visible & batch.tracked
    count = known.sum().clamp(min=1)
    unit = TRACK_WIDTH / batch.images.shape[-1]
    total = visibility.new_zeros(())
    for k, track in enumerate(tracks):
        distance = unit * torch.where(known, (track - batch.tracks).abs().mean(-1), 0).sum() / count
        total = total + gamma ** (len(tracks) - 1 - k) * distance
    close = ((tracks[-1].detach() - batch.tracks).norm(dim=-1) < 2.0) & known
    return total / len(tracks) + cross_entropy(visibility, known) + cross_entropy(confidence, close)


def vggt_losses(out: Reconstruction, batch: Batch, views: Tensor) -> dict[str, Tensor]:
    """The parts of the multi-task loss, each [].

    Dense parts on the views ``views`` [V] that ``out`` has maps for.
    """
    size = (batch.images.shape[-2], batch.images.shape[-1])
    poses = encode_pose(batch.extrinsics, batch.intrinsics, size)
    depth = batch.depth[:, views]
    points = batch.points[:, views]
    valid = depth > 0
    assert out.world_points is not None, "VGGT's loss needs a point head"
    assert out.world_points_conf is not None
    parts = {
        "camera": camera_loss(out.extras["pose_encodings"], poses),
        "depth": dense_loss(out.depth[..., None], out.depth_conf, depth[..., None], valid),
        "point": dense_loss(out.world_points, out.world_points_conf, points, valid),
    }
    if out.visibility is not None and out.track_conf is not None:
        parts["track"] = track_loss(out.extras["tracks"], out.visibility, out.track_conf, batch)
    return parts


def build_loss(model: Backbone, weights: Mapping[str, float]) -> Loss:
    """The loss that a VGGT is trained with."""
    return BackboneLoss(model, weights, vggt_losses)
