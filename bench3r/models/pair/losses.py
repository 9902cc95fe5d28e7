"""Losses of DUSt3R (Wang et al. 2024, §3.2) and MASt3R (Leroy et al. 2024, §3.2), and guidance of cross-attention."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.models.losses import CONFIDENCE_ALPHA, Batch
from bench3r.models.pair.network import PairNetwork, PairOutput
from bench3r.training.matching import patch_targets

TEMPERATURE = 0.05  # of the matching loss, in the released configuration
MATCHING_ALPHA = 10.0  # weight of -log(confidence) of local features, there
GUIDED_HEAD = 0


def confidence_loss(out: PairOutput, batch: Batch) -> Tensor:
    """Distance of both views' points from the truth, each divided by its mean distance from the first camera.

    Weighted by confidence, minus alpha log confidence, averaged per view and summed (equation 4).
    """
    truth = batch.points  # [B, 2, H, W, 3], in the first camera's frame and of mean distance 1
    valid = batch.depth > 0
    points = torch.stack([out.points1, out.points2], 1)
    counts = valid.flatten(1).sum(1).clamp(min=1)
    scale = (points.norm(dim=-1) * valid).flatten(1).sum(1) / counts
    error = (points / scale.clamp(min=1e-8).view(-1, 1, 1, 1, 1) - truth).norm(dim=-1)
    conf = torch.stack([out.conf1, out.conf2], 1)
    each = torch.where(valid, conf * error - CONFIDENCE_ALPHA * conf.log(), 0)
    return (
        each.flatten(2).sum((0, 2)) / valid.transpose(0, 1).flatten(1).sum(1).clamp(min=1)
    ).sum()


def descriptor_loss(out: PairOutput, batch: Batch) -> Tensor:
    """InfoNCE both ways over the true correspondences of each pair (equation 10), weighted by the features' confidence.

    Correspondences are the batch's tracks; other scenes of the batch are not used as negatives.
    """
    assert out.desc1 is not None
    assert out.desc2 is not None
    assert out.desc_conf1 is not None
    assert out.desc_conf2 is not None
    total, count = out.desc1.new_zeros(()), 0
    height, width = batch.depth.shape[-2:]
    limit = torch.tensor([width - 1, height - 1], device=batch.depth.device)
    for b in range(len(batch.images)):
        seen = batch.visible[b, 1] & batch.tracked[b, 1]
        if int(seen.sum()) < 2:
            continue
        one, two = (
            torch.minimum(xy.round().long().clamp(min=0), limit)
            for xy in (batch.queries[b, seen], batch.tracks[b, 1, seen])
        )
        first, second = out.desc1[b, one[:, 1], one[:, 0]], out.desc2[b, two[:, 1], two[:, 0]]
        likeness = first @ second.T / TEMPERATURE
        here = torch.arange(len(one), device=likeness.device)
        loss = F.cross_entropy(likeness, here, reduction="none") + F.cross_entropy(
            likeness.T, here, reduction="none"
        )
        conf = (
            out.desc_conf1[b, one[:, 1], one[:, 0]] + out.desc_conf2[b, two[:, 1], two[:, 0]]
        ) / 2
        total = total + (conf * loss - MATCHING_ALPHA * conf.log()).mean()
        count += 1
    return total / max(1, count)


def guided_blocks(model: PairNetwork) -> list[tuple[Any, Any]]:
    """Decoder blocks (of both views) whose cross-attention is guided: all but the first and the last."""
    return list(zip(model.dec_blocks, model.dec_blocks2, strict=True))[1:-1]


def guidance_loss(model: PairNetwork, batch: Batch) -> Tensor:
    """Cross-entropy of a cross-attention head to where each patch reappears in the other view, in nats.

    For bases only, as :mod:`bench3r.training.matching` does for global attention; neither paper has such a term.
    """
    grid = model.grid((batch.images.shape[-2], batch.images.shape[-1]))
    weights, _ = patch_targets(batch, grid)  # [B, 2, P, 2, P]
    total, blocks = weights.new_zeros(()), guided_blocks(model)
    for pair in blocks:
        for block, (own, other) in zip(pair, ((0, 1), (1, 0)), strict=True):
            assert block.cross_attn.seen is not None, "the recorded attention was never called"
            q, k = block.cross_attn.seen
            log = (
                q[:, GUIDED_HEAD].float() @ k[:, GUIDED_HEAD].float().mT * q.shape[-1] ** -0.5
            ).log_softmax(-1)
            target = weights[:, own, :, other]
            mass = target.sum(-1, keepdim=True)
            share = target / mass.clamp(min=1e-6)
            total = total - (share * log).sum() / (mass > 0).sum().clamp(min=1)
    return total / (2 * len(blocks))


def pair_losses(model: PairNetwork, batch: Batch, weights: dict[str, float]) -> dict[str, Tensor]:
    """The parts of a pair network's loss that ``weights`` names. ``batch`` has two views."""
    if batch.images.shape[1] != 2:
        raise ValueError(
            f"a pair network trains on two views at a time, got {batch.images.shape[1]}: set view_counts to [2]"
        )
    guided = bool(weights.get("matching"))
    for pair in guided_blocks(model):
        for block in pair:
            block.cross_attn.recording = guided
    size = (int(batch.images.shape[-2]), int(batch.images.shape[-1]))
    tokens = model.encode(batch.images.flatten(0, 1)).unflatten(0, batch.images.shape[:2])
    out = model.decode(tokens[:, 0], tokens[:, 1], (size, size))
    parts = {"point": confidence_loss(out, batch)}
    if weights.get("descriptor"):
        parts["descriptor"] = descriptor_loss(out, batch)
    if guided:
        parts["matching"] = guidance_loss(model, batch)
    return parts
