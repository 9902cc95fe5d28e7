"""VGGT's track head: points of the first frame followed through all frames.

A DPT gives one feature map per frame; an iterative transformer in the manner of CoTracker (Karaev
et al. 2024) and VGGSfM (Wang et al. 2024) refines the tracks. Same numbers as the official tracker
with less work: correlations are taken between sampled features (sampling is linear) instead of
sampled from full correlation volumes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench3r.models.dpt import DPTHead
from bench3r.models.layers import Mlp

TRACK_SCALE = 518.0  # flows are divided by this before they enter the transformer


class MultiheadAttention(nn.Module):
    """Fused-kernel attention with the parameter names of ``torch.nn.MultiheadAttention``."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Queries from ``x`` [N, Lq, C], keys and values from ``context`` [N, Lk, C]."""
        q = self._project(x, 0)
        k = self._project(context, 1)
        v = self._project(context, 2)
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    def _project(self, x: Tensor, part: int) -> Tensor:
        """Tokens [N, L, C] -> queries (part 0), keys (1) or values (2), [N, heads, L, d]."""
        weight = self.in_proj_weight.chunk(3)[part]
        bias = self.in_proj_bias.chunk(3)[part]
        return F.linear(x, weight, bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)


class TrackSelfBlock(nn.Module):
    """Self-attention block whose residual starts from the normalised input, as upstream."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.attn = MultiheadAttention(dim, heads)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x)
        x = x + self.attn(x, x)
        return x + self.mlp(self.norm2(x))


class TrackCrossBlock(nn.Module):
    """Cross-attention block whose residual starts from the normalised input, as upstream."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.norm_context = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.cross_attn = MultiheadAttention(dim, heads)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = self.norm1(x)
        x = x + self.cross_attn(x, self.norm_context(context))
        return x + self.mlp(self.norm2(x))


class UpdateFormer(nn.Module):
    """Attention over time per track, then over tracks per frame through learned virtual tracks."""

    def __init__(
        self,
        dim_in: int,
        hidden: int,
        dim_out: int,
        depth: int = 6,
        heads: int = 8,
        virtual: int = 64,
    ) -> None:
        super().__init__()
        self.input_norm = nn.LayerNorm(dim_in)
        self.input_transform = nn.Linear(dim_in, hidden)
        self.output_norm = nn.LayerNorm(hidden)
        self.flow_head = nn.Linear(hidden, dim_out)
        self.virual_tracks = nn.Parameter(torch.randn(1, virtual, 1, hidden))  # official spelling

        def blocks(kind: type[nn.Module]) -> nn.ModuleList:
            return nn.ModuleList(kind(hidden, heads) for _ in range(depth))

        self.time_blocks = blocks(TrackSelfBlock)
        self.space_virtual_blocks = blocks(TrackSelfBlock)
        self.space_point2virtual_blocks = blocks(TrackCrossBlock)
        self.space_virtual2point_blocks = blocks(TrackCrossBlock)

    def forward(self, x: Tensor) -> Tensor:
        """Track tokens [B, N, S, dim_in] -> updates [B, N, S, dim_out]."""
        start = self.input_transform(self.input_norm(x))
        b, n, s, _ = start.shape
        x = torch.cat([start, self.virual_tracks.expand(b, -1, s, -1)], 1)
        for i, time_block in enumerate(self.time_blocks):
            x = time_block(x.flatten(0, 1)).unflatten(0, (b, -1))
            per_frame = x.transpose(1, 2).flatten(0, 1)  # [B*S, N + V, C]
            points = per_frame[:, :n]
            virtual = per_frame[:, n:]
            virtual = self.space_virtual2point_blocks[i](virtual, points)
            virtual = self.space_virtual_blocks[i](virtual)
            points = self.space_point2virtual_blocks[i](points, virtual)
            x = torch.cat([points, virtual], 1).unflatten(0, (b, s)).transpose(1, 2)
        return self.flow_head(self.output_norm(x[:, :n] + start))


def sample_map(features: Tensor, xy: Tensor, padding: str) -> Tensor:
    """Bilinear samples of ``features`` [N, C, h, w] at pixels ``xy`` [N, ..., 2] -> [N, ..., C]."""
    h, w = features.shape[-2:]
    size = torch.tensor([max(w - 1, 1), max(h - 1, 1)], dtype=xy.dtype, device=xy.device)
    grid = (2 * xy / size - 1).flatten(1, -2)[:, :, None]  # [N, L, 1, 2]
    out = F.grid_sample(features, grid, padding_mode=padding, align_corners=True)[..., 0]
    return out.transpose(1, 2).unflatten(1, xy.shape[1:-1])


def flow_embedding(flow: Tensor, channels: int) -> Tensor:
    """Sine and cosine of flows [..., 2] with linear frequencies -> [..., 2 * channels].

    Sine in even channels, cosine in odd ones.
    """
    even = torch.arange(0, channels, 2, dtype=flow.dtype, device=flow.device)
    frequency = even * (1000.0 / channels)
    angle = flow[..., None] * frequency  # [..., 2, channels / 2]
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-3)


def grid_embedding(xy: Tensor, channels: int, size: tuple[int, int]) -> Tensor:
    """The 2-D sine-cosine table of an (h, w) grid at ``xy`` [..., 2] -> [..., channels].

    The table is separable, so each half is bilinearly interpolated along its own axis; positions
    outside are clamped.
    """
    half = channels // 2
    steps = torch.arange(half // 2, dtype=torch.float64, device=xy.device)
    omega = 10000.0 ** (-steps / (half // 2))
    parts = []
    for value, length in ((xy[..., 0], size[1]), (xy[..., 1], size[0])):
        value = value.double().clamp(0, length - 1)
        low = value.floor().clamp(max=max(length - 2, 0))
        angles = torch.stack([low, low + 1])[..., None] * omega
        table = torch.cat([angles.sin(), angles.cos()], -1).float()
        parts.append(torch.lerp(table[0], table[1], (value - low)[..., None].float()))
    return torch.cat(parts, -1)


class Tracker(nn.Module):
    """Iterative refinement of tracks on feature maps."""

    def __init__(
        self,
        latent: int,
        hidden_size: int = 384,
        corr_levels: int = 7,
        corr_radius: int = 4,
        depth: int = 6,
        virtual: int = 64,
        stride: int = 2,
    ) -> None:
        super().__init__()
        self.latent = latent
        self.levels = corr_levels
        self.radius = corr_radius
        self.stride = stride
        dim = 3 * latent + 4
        self.corr_mlp = Mlp(corr_levels * (2 * corr_radius + 1) ** 2, hidden_size, latent)
        self.query_ref_token = nn.Parameter(torch.randn(1, 2, dim))
        self.updateformer = UpdateFormer(dim, hidden_size, latent + 2, depth, virtual=virtual)
        self.fmap_norm = nn.LayerNorm(latent)
        self.ffeat_norm = nn.GroupNorm(1, latent)
        self.ffeat_updater = nn.Sequential(nn.Linear(latent, latent), nn.GELU())
        self.vis_predictor = nn.Sequential(nn.Linear(latent, 1))
        self.conf_predictor = nn.Sequential(nn.Linear(latent, 1))

    def pyramid(self, fmaps: Tensor) -> list[Tensor]:
        """Feature maps [B, S, C, h, w] halved ``corr_levels`` - 1 times."""
        maps = [fmaps]
        for _ in range(self.levels - 1):
            maps.append(F.avg_pool2d(maps[-1].flatten(0, 1), 2).unflatten(0, fmaps.shape[:2]))
        return maps

    def correlate(self, maps: list[Tensor], feats: Tensor, coords: Tensor) -> Tensor:
        """Correlation [B, S, N, levels * K] of track features ``feats`` [B, S, N, C].

        On every level of ``maps`` [B, S, C, h, w] with a window of K pixels round ``coords``
        [B, S, N, 2].
        """
        step = torch.arange(-self.radius, self.radius + 1, dtype=coords.dtype, device=coords.device)
        # upstream adds the (dy, dx) grid to (x, y) coordinates: the window is transposed, here too
        window = torch.stack(torch.meshgrid(step, step, indexing="ij"), -1).flatten(0, 1)  # [K, 2]
        out = []
        for level, fmap in enumerate(maps):
            where = (coords / 2**level)[..., None, :] + window  # [B, S, N, K, 2]
            sampled = sample_map(fmap.flatten(0, 1), where.flatten(0, 1), "zeros")  # [B*S, N, K, C]
            products = torch.einsum("bnkc,bnc->bnk", sampled, feats.flatten(0, 1))
            out.append(products / feats.shape[-1] ** 0.5)
        return torch.cat(out, -1).unflatten(0, coords.shape[:2])

    def tokens(
        self, coords: Tensor, feats: Tensor, correlation: Tensor, position: Tensor
    ) -> Tensor:
        """Transformer input [B, N, S, dim] of the current tracks."""
        flow = (coords - coords[:, :1]).transpose(1, 2)  # [B, N, S, 2]
        scaled = flow / TRACK_SCALE
        correlation = self.corr_mlp(correlation).transpose(1, 2)
        embedded = flow_embedding(flow, self.latent // 2)
        parts = [embedded, scaled, scaled, correlation, feats.transpose(1, 2)]
        others = self.query_ref_token[:, 1:].expand(-1, coords.shape[1] - 1, -1)
        reference = torch.cat([self.query_ref_token[:, :1], others], 1)
        return torch.cat(parts, -1) + position[:, :, None] + reference[:, None]

    def forward(
        self, queries: Tensor, fmaps: Tensor, iters: int
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Queries [B, N, 2] (pixels, x y, first frame), feature maps [B, S, C, h, w] -> tracks.

        Returns the tracks [B, S, N, 2] after each iteration (pixels), visibility and confidence
        [B, S, N] in [0, 1].
        """
        s = fmaps.shape[1]
        size = (fmaps.shape[-2], fmaps.shape[-1])
        scale = float(self.stride)
        fmaps = self.fmap_norm(fmaps.movedim(2, -1)).movedim(-1, 2)
        start = queries / scale
        coords = start[:, None].expand(-1, s, -1, -1).clone()
        first = sample_map(fmaps[:, 0], start, "border")
        feats = first[:, None].expand(-1, s, -1, -1)  # [B, S, N, C]
        position = grid_embedding(start, 3 * self.latent + 4, size)
        maps = self.pyramid(fmaps)
        tracks = []
        for _ in range(iters):
            coords = coords.detach()
            correlation = self.correlate(maps, feats, coords)
            tokens = self.tokens(coords, feats, correlation, position)
            delta = self.updateformer(tokens).transpose(1, 2)  # [B, S, N, 2 + latent]
            update = self.ffeat_updater(self.ffeat_norm(delta[..., 2:].flatten(0, 2)))
            feats = feats + update.view_as(feats)
            coords = torch.cat([start[:, None], (coords + delta[..., :2])[:, 1:]], 1)
            tracks.append(coords * scale)
        visibility = self.vis_predictor(feats)[..., 0].sigmoid()
        confidence = self.conf_predictor(feats)[..., 0].sigmoid()
        return tracks, visibility, confidence


class TrackHead(nn.Module):
    """DPT features at half resolution and the tracker on them."""

    def __init__(self, feature_extractor: DPTHead, tracker: Tracker, iters: int = 4) -> None:
        super().__init__()
        self.feature_extractor = feature_extractor
        self.tracker = tracker
        self.iters = iters

    def check_size(self, height: int, width: int) -> None:
        """Raise ValueError when images of this many pixels are too small for the pyramid."""
        smallest = self.tracker.stride * 2 ** (self.tracker.levels - 1)
        if min(height, width) < smallest:
            raise ValueError(
                f"tracking with {self.tracker.levels} correlation levels needs images of at least "
                f"{smallest} pixels a side, got {height} x {width}"
            )

    def forward(
        self,
        taps: dict[int, Tensor],
        special: int,
        grid: tuple[int, int],
        chunk: int,
        queries: Tensor,
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """As :meth:`Tracker.forward`, from trunk taps [B, S, T, 2C].

        ``queries`` [B, N, 2] in pixels of the first frame.
        """
        size = self.feature_extractor.patch_size
        self.check_size(grid[0] * size, grid[1] * size)
        (fmaps,) = self.feature_extractor(taps, special, grid, chunk)
        return self.tracker(queries, fmaps, self.iters)
