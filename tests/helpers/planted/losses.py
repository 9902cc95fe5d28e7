"""Its training loss: camera and depth."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from bench3r.api.reconstruction import Reconstruction
from bench3r.models.backbone import Backbone
from bench3r.models.geometry import encode_pose
from bench3r.models.losses import Batch, camera_loss, dense_loss
from bench3r.models.trainable import BackboneLoss, Loss


def planted_losses(out: Reconstruction, batch: Batch, views: Tensor) -> dict[str, Tensor]:
    size = (int(batch.images.shape[-2]), int(batch.images.shape[-1]))
    expected = encode_pose(batch.extrinsics, batch.intrinsics, size)
    depth = batch.depth[:, views][..., None]
    return {
        "camera": camera_loss(out.extras["pose_encodings"], expected),
        "depth": dense_loss(out.depth[..., None], out.depth_conf, depth, depth[..., 0] > 0),
    }


def build_loss(model: Backbone, weights: Mapping[str, float]) -> Loss:
    return BackboneLoss(model, weights, planted_losses)
