"""Correspondence guidance: teaches chosen heads of global attention to look at the same surface point in other views.

Relative pose cannot be read from images before attention matches them, and matching emerges from the pose loss alone
only after millions of samples. Scenes with known depth say where every patch reappears, so the attention itself can
be supervised. Used for bases only; VGGT's own training has no such term.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench3r.models.geometry import unproject
from bench3r.models.layers import Core, TokenLayout, attention_modules
from bench3r.models.losses import Batch

REFERENCE_HEAD, ANY_HEAD = 0, 1  # head 0 looks into the first view, head 1 into every other view


class RecordingCore(Core):
    """An attention core that keeps the queries and keys of its last call for the guidance loss."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self.core = core
        self.seen: tuple[Tensor, Tensor] | None = None

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        self.seen = (q, k)
        return self.core(q, k, v, layout)


def record_middle(model: Any) -> list[RecordingCore]:
    """Put recording cores into the global attention of the trunk's middle pairs (all but first and last)."""
    modules = [m for _, m in attention_modules(model, "global")][1:-1]
    for module in modules:
        module.core = RecordingCore(module.core)
    return [m.core for m in modules]  # type: ignore[misc]


def patch_targets(batch: Batch, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where every patch centre reappears.

    Returns weights [B, S, P, S, P] (bilinear over the four nearest patches of the other view, 0 for its own view) and
    whether it is seen there [B, S, P, S]. A point is seen when the depth at its pixel agrees within 5 %.
    """
    b, s, _, height, width = batch.images.shape
    h, w = grid
    patch = height // h
    rows = torch.arange(h, device=batch.depth.device).repeat_interleave(w)
    columns = torch.arange(w, device=batch.depth.device).repeat(h)
    centre = (
        (rows * patch + patch // 2) * width + columns * patch + patch // 2
    )  # pixel beside the middle
    points = unproject(batch.depth, batch.extrinsics, batch.intrinsics).flatten(2, 3)[
        :, :, centre
    ]  # [B, S, P, 3]
    known = batch.depth.flatten(2)[:, :, centre] > 0
    rotation, shift = batch.extrinsics[..., :3], batch.extrinsics[..., 3]
    camera = (
        torch.einsum("btij,bspj->bspti", rotation, points) + shift[:, None, None]
    )  # [B, S, P, T, 3]
    z = camera[..., 2]
    pixel = torch.einsum(
        "btij,bsptj->bspti", batch.intrinsics, camera / z.clamp(min=1e-6)[..., None]
    )[..., :2]
    x, y = pixel.unbind(-1)
    inside = (z > 1e-3) & (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    index = y.round().clamp(0, height - 1).long() * width + x.round().clamp(0, width - 1).long()
    other = (
        batch.depth.flatten(2)[:, None]
        .expand(b, s, s, -1)
        .gather(3, index.permute(0, 1, 3, 2))
        .permute(0, 1, 3, 2)
    )
    seen = inside & known[..., None] & (other > 0) & ((other - z).abs() < 0.05 * z)
    seen = seen & ~torch.eye(s, dtype=torch.bool, device=seen.device)[None, :, None]
    column = ((x - (patch - 1) / 2) / patch).clamp(0, w - 1)
    row = ((y - (patch - 1) / 2) / patch).clamp(0, h - 1)
    near_row = (1 - (row[..., None] - torch.arange(h, device=row.device)).abs()).clamp(min=0)
    near_column = (1 - (column[..., None] - torch.arange(w, device=row.device)).abs()).clamp(min=0)
    weights = (near_row[..., :, None] * near_column[..., None, :]).flatten(-2)  # [B, S, P, T, P]
    return torch.where(seen[..., None], weights, 0), seen


def matching_loss(
    cores: list[RecordingCore], layout: TokenLayout, batch: Batch, reference: bool = True
) -> Tensor:
    """Cross-entropy of the guided heads' attention over the whole sequence to where patches reappear, in nats.

    ``reference``: whether the model knows a first view, so that a head can look for it.
    """
    weights, _ = patch_targets(batch, (layout.height, layout.width))
    s, p = layout.views, layout.height * layout.width
    first = weights[..., :1, :].flatten(1, 2)  # [B, S * P, 1, P]
    total = weights.new_zeros(())
    for core in cores:
        assert core.seen is not None, "the recorded attention was never called"
        q, k = core.seen
        tokens = (
            torch.arange(s * layout.tokens_per_view, device=q.device)
            .view(s, -1)[:, layout.special :]
            .flatten()
        )
        guided = ((REFERENCE_HEAD, first), (ANY_HEAD, weights.flatten(1, 2)))
        for head, target in guided if reference else guided[1:]:
            logits = q[:, head, tokens].float() @ k[:, head].float().mT * q.shape[-1] ** -0.5
            log = logits.log_softmax(-1)[:, :, tokens].unflatten(2, (s, p))[:, :, : target.shape[2]]
            mass = target.sum((2, 3), keepdim=True)
            share = target / mass.clamp(min=1e-6)
            total = total - (share * log).sum() / (mass > 0).sum().clamp(min=1)
    return total / ((1 + reference) * len(cores))
