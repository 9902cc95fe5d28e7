"""Losses of backbones: zero for ground truth, and a network learns one batch by heart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench3r.api.reconstruction import Reconstruction
from bench3r.metrics.pose import relative_pose_errors
from bench3r.models.backbones import build_backbone
from bench3r.models.geometry import camera_points, encode_pose, rigid_inverse
from bench3r.models.losses import Batch, normalise
from bench3r.models.pi3.losses import pi3_losses
from bench3r.models.pi3.network import nearest_rotation
from bench3r.models.vggt.losses import vggt_losses
from bench3r.models.vggt.network import VGGT
from bench3r.training.config import TrainConfig
from bench3r.training.initialisation import initialise
from bench3r.training.optimisation import parameter_groups
from bench3r.training.step import TrainStep
from tests.helpers.training import stream


def test_one_batch_can_be_overfitted_pose_included(tiny):
    """Two scenes of two views, by heart: depth and points fall to a fraction, and the pose becomes
    the true one.
    """
    batch = next(stream(4, 2, buffer=2, side=48))
    step = TrainStep(tiny.train(), TrainConfig())
    optimiser = torch.optim.AdamW(parameter_groups(tiny, 0.0), betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=180, pct_start=0.1)
    before = pose_errors(tiny, batch)
    history = []
    for _ in range(180):
        parts = step(batch, torch.arange(2))
        parts["total"].backward()
        torch.nn.utils.clip_grad_norm_(tiny.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        history.append({k: float(v.detach()) for k, v in parts.items()})
    rotation, translation = pose_errors(tiny, batch)
    assert rotation < 5 < 0.1 * before[0]
    assert translation < 10 < before[1]
    assert history[-1]["depth"] < 0.35 * history[0]["depth"]
    assert history[-1]["point"] < 0.35 * history[0]["point"]
    assert history[-1]["track"] < 0.7 * history[0]["track"]


def pose_errors(model: VGGT, batch: Batch) -> tuple[float, float]:
    """Mean rotation and translation-direction errors (degrees) of the second views."""
    with torch.no_grad():
        predicted = model(batch.images).extrinsics.double().numpy()
    expected = batch.extrinsics.double().numpy()
    bottom = np.broadcast_to([0.0, 0, 0, 1], (len(expected), 2, 1, 4))
    found = np.concatenate([predicted, bottom], 2)
    known = np.concatenate([expected, bottom], 2)
    errors = []
    for scene in range(len(found)):
        rotation, translation = relative_pose_errors(found[scene], known[scene])
        errors.append((float(np.mean(rotation)), float(np.mean(translation))))
    mean = np.mean(errors, 0)
    return float(mean[0]), float(mean[1])


def test_the_loss_of_ground_truth_is_the_confidence_term_alone(tiny):
    batch = next(stream(3, 3))
    poses = encode_pose(batch.extrinsics, batch.intrinsics, (96, 96))
    conf = torch.ones_like(batch.depth)
    perfect = Reconstruction(
        batch.extrinsics,
        batch.intrinsics,
        batch.depth,
        conf,
        batch.points,
        conf,
        extras={"pose_encodings": [poses]},
    )
    parts = vggt_losses(perfect, batch, torch.arange(3))
    assert all(abs(float(v)) < 1e-6 for v in parts.values())


def test_scenes_without_depth_are_refused():
    eye = torch.eye(4)[None, None, :3]
    with pytest.raises(ValueError, match="no pixel with valid depth"):
        normalise(torch.zeros(1, 1, 4, 4), eye, torch.eye(3)[None, None])


@pytest.mark.parametrize("name", ["pi3", "depth_anything_3"])
def test_the_other_backbones_learn_one_batch(name):
    """Their own losses fall, the pose included, and a perfect answer of pi3 costs nothing but
    confidence.
    """
    torch.manual_seed(0)
    model = build_backbone(name, "tiny").train()
    initialise(model)
    batch = next(stream(4, 2, buffer=2, side=48))
    step = TrainStep(model, TrainConfig())
    optimiser = torch.optim.AdamW(parameter_groups(model, 0.0), 1e-3, betas=(0.9, 0.95))
    history = []
    for _ in range(60):
        parts = step(batch, torch.arange(2))
        parts["total"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        history.append({k: float(v.detach()) for k, v in parts.items()})
    assert history[-1]["total"] < 0.6 * history[0]["total"]
    assert history[-1]["point"] < 0.7 * history[0]["point"]
    assert history[-1]["camera"] < history[0]["camera"]


def test_pi3_loss_is_zero_for_ground_truth_in_any_frame_and_scale():
    batch = next(stream(6, 3, side=48))
    local = 1.7 * camera_points(batch.depth, batch.intrinsics)  # another scale
    w2c = torch.cat(
        [batch.extrinsics, torch.tensor([0.0, 0, 0, 1]).expand(*batch.extrinsics.shape[:2], 1, 4)],
        2,
    )
    poses = rigid_inverse(w2c)
    poses[..., :3, 3] *= 1.7
    turn = torch.eye(4)
    turn[:3, :3] = nearest_rotation(torch.randn(3, 3))
    turn[:3, 3] = torch.tensor([3.0, -1, 2])  # another world frame
    logits = torch.where(batch.depth > 0, 9.0, -9.0)
    out = Reconstruction(batch.extrinsics, batch.intrinsics, batch.depth, batch.depth)
    out.extras = {"local_points": local, "conf_logits": logits, "camera_poses": turn @ poses}
    parts = pi3_losses(out, batch, torch.arange(3))
    assert max(float(v) for v in parts.values()) < 5e-3, parts
