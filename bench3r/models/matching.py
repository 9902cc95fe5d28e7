"""Correspondence guidance: chosen attention heads learn to look at the same surface point.

Relative pose cannot be read from images before attention matches them, and matching emerges from
the pose loss alone only after millions of samples. Scenes with known depth say where every patch
reappears in the other views, so the attention itself can be supervised. Used for bases only; no
published network is trained with such a term.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench3r.models.geometry import unproject
from bench3r.models.layers import Core, TokenLayout, attention_modules
from bench3r.models.losses import Batch

REFERENCE_HEAD = 0  # looks into the first view
ANY_HEAD = 1  # looks into every other view


class RecordingCore(Core):
    """An attention core that keeps the queries and keys of its last call for the guidance loss."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self.core = core
        self.seen: tuple[Tensor, Tensor] | None = None

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        self.seen = (q, k)
        return self.core(q, k, v, layout)


def record_middle(model: nn.Module) -> list[RecordingCore]:
    """Record the global attention of the trunk's middle pairs (all but the first and the last)."""
    cores = []
    for _, module in list(attention_modules(model, "global"))[1:-1]:
        core = RecordingCore(module.core)
        module.core = core
        cores.append(core)
    return cores


class Projection(NamedTuple):
    """Patch centres of every view, as every view sees them: S views of P patches in T views."""

    x: Tensor  # [B, S, P, T], pixels
    y: Tensor  # [B, S, P, T], pixels
    seen: Tensor  # [B, S, P, T] bool: inside the image and not hidden


def patch_targets(batch: Batch, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where every patch centre reappears.

    Returns weights [B, S, P, S, P] (bilinear over the four nearest patches of the other view, 0 for
    its own view) and whether it is seen there [B, S, P, S]. A point is seen when the depth at its
    pixel agrees within 5 %.
    """
    h, w = grid
    patch = batch.images.shape[-2] // h
    x, y, seen = project_patches(batch, grid)
    own_view = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
    seen = seen & ~own_view[None, :, None]
    column = ((x - (patch - 1) / 2) / patch).clamp(0, w - 1)
    row = ((y - (patch - 1) / 2) / patch).clamp(0, h - 1)
    near_row = (1 - (row[..., None] - torch.arange(h, device=row.device)).abs()).clamp(min=0)
    near_column = (1 - (column[..., None] - torch.arange(w, device=row.device)).abs()).clamp(min=0)
    weights = (near_row[..., :, None] * near_column[..., None, :]).flatten(-2)  # [B, S, P, T, P]
    return torch.where(seen[..., None], weights, 0), seen


def project_patches(batch: Batch, grid: tuple[int, int]) -> Projection:
    """The surface points under the patch centres of all views, projected into all views."""
    b, s, _, height, width = batch.images.shape
    centre = patch_centres(grid, (height, width)).to(batch.depth.device)
    points = unproject(batch.depth, batch.extrinsics, batch.intrinsics)
    points = points.flatten(2, 3)[:, :, centre]  # [B, S, P, 3]
    known = batch.depth.flatten(2)[:, :, centre] > 0
    rotation = batch.extrinsics[..., :3]
    shift = batch.extrinsics[:, None, None, :, :, 3]  # [B, 1, 1, T, 3]
    camera = torch.einsum("btij,bspj->bspti", rotation, points) + shift
    z = camera[..., 2]
    ray = camera / z.clamp(min=1e-6)[..., None]
    x, y, _ = torch.einsum("btij,bsptj->bspti", batch.intrinsics, ray).unbind(-1)
    inside = (z > 1e-3) & (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    index = y.round().clamp(0, height - 1).long() * width + x.round().clamp(0, width - 1).long()
    depth = batch.depth.flatten(2)[:, None].expand(b, s, s, -1)  # [B, S, T, H * W]
    there = depth.gather(3, index.permute(0, 1, 3, 2)).permute(0, 1, 3, 2)
    agrees = (there > 0) & ((there - z).abs() < 0.05 * z)
    return Projection(x, y, inside & known[..., None] & agrees)


def patch_centres(grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Index [P] in the flattened image of the pixel beside the middle of every patch."""
    h, w = grid
    height, width = size
    patch = height // h
    rows = torch.arange(h).repeat_interleave(w)
    columns = torch.arange(w).repeat(h)
    return (rows * patch + patch // 2) * width + columns * patch + patch // 2


def attention_cross_entropy(log: Tensor, target: Tensor, over: tuple[int, ...]) -> Tensor:
    """Mean cross-entropy [] of log attention to ``target``, both [N, Q, ...], in nats.

    The target is normalised over the dimensions ``over``; queries without any do not count.
    """
    mass = target.sum(over, keepdim=True)
    share = target / mass.clamp(min=1e-6)
    return -(share * log).sum() / (mass > 0).sum().clamp(min=1)


def matching_loss(
    cores: list[RecordingCore], layout: TokenLayout, batch: Batch, reference: bool = True
) -> Tensor:
    """Cross-entropy [] of the guided heads' attention over the scene to where patches reappear.

    In nats. ``reference``: whether the model knows a first view, so that a head can look for it.
    """
    weights, _ = patch_targets(batch, (layout.height, layout.width))
    patches = layout.height * layout.width
    every = weights.flatten(1, 2)  # [B, S * P, S, P]
    guided = {ANY_HEAD: every}
    if reference:
        guided = {REFERENCE_HEAD: every[:, :, :1], ANY_HEAD: every}
    total = weights.new_zeros(())
    for core in cores:
        assert core.seen is not None, "the recorded attention was never called"
        q, k = core.seen
        numbers = torch.arange(layout.views * layout.tokens_per_view, device=q.device)
        tokens = numbers.view(layout.views, -1)[:, layout.special :].flatten()
        for head, target in guided.items():
            logits = q[:, head, tokens].float() @ k[:, head].float().mT * q.shape[-1] ** -0.5
            log = logits.log_softmax(-1)[:, :, tokens].unflatten(2, (layout.views, patches))
            looked_at = log[:, :, : target.shape[2]]
            total = total + attention_cross_entropy(looked_at, target, (2, 3))
    return total / ((1 + reference) * len(cores))
