"""Losses of DUSt3R (Wang et al. 2024, §3.2) and MASt3R (Leroy et al. 2024, §3.2).

And guidance of their cross-attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.models.losses import CONFIDENCE_ALPHA, Batch
from bench3r.models.matching import attention_cross_entropy, patch_targets
from bench3r.models.pair.network import DecoderBlock, PairNetwork, PairOutput
from bench3r.models.trainable import Loss, LossParts

TEMPERATURE = 0.05  # of the matching loss, in the released configuration
MATCHING_ALPHA = 10.0  # weight of -log(confidence) of local features, there
GUIDED_HEAD = 0


def confidence_loss(out: PairOutput, batch: Batch) -> Tensor:
    """Distance of both views' points from ground truth, weighted by confidence (equation 4): [].

    Points of a view are divided by their mean distance from the first camera; alpha log confidence
    is subtracted; means per view are summed.
    """
    expected = batch.points  # [B, 2, H, W, 3], in the first camera's frame, mean distance 1
    valid = batch.depth > 0
    points = torch.stack([out.points1, out.points2], 1)
    counts = valid.flatten(1).sum(1).clamp(min=1)
    scale = (points.norm(dim=-1) * valid).flatten(1).sum(1) / counts
    error = (points / scale.clamp(min=1e-8).view(-1, 1, 1, 1, 1) - expected).norm(dim=-1)
    conf = torch.stack([out.conf1, out.conf2], 1)
    each = torch.where(valid, conf * error - CONFIDENCE_ALPHA * conf.log(), 0)
    pixels = valid.transpose(0, 1).flatten(1).sum(1).clamp(min=1)  # [2]
    return (each.flatten(2).sum((0, 2)) / pixels).sum()


def descriptor_loss(out: PairOutput, batch: Batch) -> Tensor:
    """InfoNCE both ways over the correspondences of each pair (equation 10): [].

    Weighted by the features' confidence. Correspondences are the batch's tracks; other scenes of
    the batch are not used as negatives.
    """
    assert out.desc1 is not None
    assert out.desc2 is not None
    assert out.desc_conf1 is not None
    assert out.desc_conf2 is not None
    total = out.desc1.new_zeros(())
    count = 0
    for b in range(len(batch.images)):
        seen = batch.visible[b, 1] & batch.tracked[b, 1]
        if int(seen.sum()) < 2:
            continue
        x1, y1 = _nearest_pixels(batch.queries[b, seen], batch)
        x2, y2 = _nearest_pixels(batch.tracks[b, 1, seen], batch)
        likeness = out.desc1[b, y1, x1] @ out.desc2[b, y2, x2].T / TEMPERATURE
        here = torch.arange(len(x1), device=likeness.device)
        loss = F.cross_entropy(likeness, here, reduction="none")
        loss = loss + F.cross_entropy(likeness.T, here, reduction="none")
        conf = (out.desc_conf1[b, y1, x1] + out.desc_conf2[b, y2, x2]) / 2
        total = total + (conf * loss - MATCHING_ALPHA * conf.log()).mean()
        count += 1
    return total / max(1, count)


def _nearest_pixels(xy: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Columns and rows [N] of the pixels nearest to ``xy`` [N, 2]."""
    height, width = batch.depth.shape[-2:]
    limit = torch.tensor([width - 1, height - 1], device=batch.depth.device)
    pixels = torch.minimum(xy.round().long().clamp(min=0), limit)
    return pixels[:, 0], pixels[:, 1]


def guided_blocks(model: PairNetwork) -> list[tuple[DecoderBlock, DecoderBlock]]:
    """Decoder blocks of both views whose cross-attention is guided: the middle ones."""
    pairs: Any = zip(model.dec_blocks, model.dec_blocks2, strict=True)
    return list(pairs)[1:-1]


def guidance_loss(model: PairNetwork, batch: Batch) -> Tensor:
    """Cross-entropy [] of a cross-attention head to where each patch reappears, in nats.

    For bases only, as :mod:`bench3r.models.matching` does for global attention; neither paper has
    such a term.
    """
    grid = model.grid((batch.images.shape[-2], batch.images.shape[-1]))
    weights, _ = patch_targets(batch, grid)  # [B, 2, P, 2, P]
    total = weights.new_zeros(())
    blocks = guided_blocks(model)
    for pair in blocks:
        for own, block in enumerate(pair):
            assert block.cross_attn.seen is not None, "the recorded attention was never called"
            q, k = block.cross_attn.seen
            scale = q.shape[-1] ** -0.5
            logits = q[:, GUIDED_HEAD].float() @ k[:, GUIDED_HEAD].float().mT * scale
            target = weights[:, own, :, 1 - own]  # [B, P, P]
            total = total + attention_cross_entropy(logits.log_softmax(-1), target, (-1,))
    return total / (2 * len(blocks))


def pair_losses(
    model: PairNetwork, batch: Batch, weights: Mapping[str, float]
) -> dict[str, Tensor]:
    """The parts of a pair network's loss that ``weights`` names, each [].

    Raises ValueError unless ``batch`` has two views.
    """
    if batch.images.shape[1] != 2:
        raise ValueError(
            "a pair network trains on two views at a time, "
            f"got {batch.images.shape[1]}: set view_counts to [2]"
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


def build_loss(model: PairNetwork, weights: Mapping[str, float]) -> Loss:
    """The loss that a pair network is trained with; it sees both views of a scene whole."""

    def loss(batch: Batch, views: Tensor) -> LossParts:
        return LossParts(pair_losses(model, batch, weights), facts={}, losses={})

    return loss
