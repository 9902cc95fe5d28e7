"""VGGT: Visual Geometry Grounded Transformer (Wang et al., CVPR 2025).

The official state dict loads with ``strict=True``. See :class:`VGGTConfig` for the scales.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench3r.api.reconstruction import Reconstruction
from bench3r.models.backbone import Backbone, add_image_statistics, views_of
from bench3r.models.chunks import read_tap
from bench3r.models.dinov2 import DinoVisionTransformer
from bench3r.models.dpt import DPTHead, depth_activation, point_activation
from bench3r.models.geometry import decode_pose
from bench3r.models.layers import Block, TokenLayout
from bench3r.models.trunk import Schedule, Trunk, TrunkOutput
from bench3r.models.vggt.camera_head import CameraHead
from bench3r.models.vggt.config import AggregatorConfig, TrackConfig, TrackDPTConfig, VGGTConfig
from bench3r.models.vggt.track_head import Tracker, TrackHead


class Aggregator(nn.Module, Trunk):
    """Patch embed, camera and register tokens, and the alternating trunk."""

    image_mean: Tensor
    image_std: Tensor

    def __init__(self, config: AggregatorConfig) -> None:
        super().__init__()
        self.set_up_trunk(config.depth, config.embed_dim // config.num_heads, config.rope_freq)
        self.frame_blocks = self._blocks(config, "frame")
        self.global_blocks = self._blocks(config, "global")
        dim, depth, heads = config.encoder_size()
        registers = config.num_register_tokens
        self.patch_size = config.patch_size
        self.special = 1 + registers
        self.patch_embed = DinoVisionTransformer(
            config.img_size, config.patch_size, dim, depth, heads
        )
        # [:, 0] of the first view, [:, 1] of the others
        self.camera_token = nn.Parameter(torch.randn(1, 2, 1, dim) * 1e-6)
        self.register_token = nn.Parameter(torch.randn(1, 2, registers, dim) * 1e-6)
        add_image_statistics(self)

    @staticmethod
    def _blocks(config: AggregatorConfig, role: str) -> nn.ModuleList:
        blocks = nn.ModuleList()
        for _ in range(config.depth):
            block = Block(
                config.embed_dim,
                config.num_heads,
                config.mlp_ratio,
                config.qk_norm,
                config.init_values,
                role=role,
            )
            blocks.append(block)
        return blocks

    def embed(self, images: Tensor) -> tuple[Tensor, TokenLayout]:
        """Images [B, S, 3, H, W] in [0, 1] -> tokens [B, S, special + P, C], their layout."""
        b, s, _, h, w = map(int, images.shape)
        patches = self.patch_embed((images.flatten(0, 1) - self.image_mean) / self.image_std)
        special = torch.cat([self.camera_token, self.register_token], 2)  # [1, 2, special, C]
        others = special[:, 1:].expand(-1, s - 1, -1, -1)
        special = torch.cat([special[:, :1], others], 1).expand(b, -1, -1, -1)
        tokens = torch.cat([special.to(patches.dtype), patches.unflatten(0, (b, s))], 2)
        return tokens, TokenLayout(b, s, self.special, h // self.patch_size, w // self.patch_size)


class VGGT(Backbone):
    """Images to cameras, depth, points and tracks."""

    name = "vggt"

    def __init__(self, config: VGGTConfig | None = None) -> None:
        super().__init__()
        config = config or VGGTConfig()
        config.check()
        self.config = config
        patch = config.aggregator.patch_size
        self.aggregator = Aggregator(config.aggregator)
        self.camera_head = CameraHead(**config.camera.model_dump())
        self.point_head = DPTHead(**config.dpt.model_dump(), patch_size=patch, output_dim=4)
        self.depth_head = DPTHead(**config.dpt.model_dump(), patch_size=patch, output_dim=2)
        if config.track is not None:
            self.track_head = self._track_head(config.track, config.track_dpt, patch)
        self.schedule = Schedule()

    @staticmethod
    def _track_head(track: TrackConfig, dpt: TrackDPTConfig, patch: int) -> TrackHead:
        extractor = DPTHead(
            track.dim_in,
            patch,
            None,
            track.features,
            pos_embed=False,
            down_ratio=2,
            **dpt.model_dump(),
        )
        tracker = Tracker(
            track.features,
            track.hidden_size,
            track.corr_levels,
            track.corr_radius,
            track.depth,
            track.virtual,
        )
        return TrackHead(extractor, tracker, track.iters)

    @property
    def trunk(self) -> Aggregator:
        """The alternating trunk."""
        return self.aggregator

    @property
    def width(self) -> int:
        """Channels of a trunk token."""
        return self.config.aggregator.embed_dim

    @property
    def taps(self) -> tuple[int, ...]:
        """Pair indices that the heads read, ascending; the last pair is read by the camera head."""
        used = {*self.depth_head.taps, *self.point_head.taps, self.aggregator.depth - 1}
        if hasattr(self, "track_head"):
            used |= set(self.track_head.feature_extractor.taps)
        return tuple(sorted(used))

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Part -> names of its modules."""
        heads = ("camera_head", "depth_head", "point_head", "track_head")
        return {
            "patch_embed": ("aggregator.patch_embed",),
            "frame_blocks": ("aggregator.frame_blocks",),
            "global_blocks": ("aggregator.global_blocks",),
            **{name: (name,) for name in heads},
        }

    def modules_without_loss(self, weights: Mapping[str, float]) -> list[nn.Module]:
        """The track head when tracks weigh nothing."""
        unused = hasattr(self, "track_head") and not weights.get("track")
        return [self.track_head] if unused else []

    def embed(self, images: Tensor) -> tuple[Tensor, TokenLayout]:
        """Images [B, S, 3, H, W] in [0, 1] -> tokens [B, S, special + P, C], their layout."""
        return self.aggregator.embed(images)

    def depths(self, taps: dict[int, Tensor], layout: TokenLayout) -> Tensor:
        grid = (layout.height, layout.width)
        depth, _ = self.depth_head(taps, layout.special, grid, 1, depth_activation)
        return depth[..., 0]

    def poses(self, taps: dict[int, Tensor], layout: TokenLayout) -> Tensor:
        size = (layout.height * self.config.patch_size, layout.width * self.config.patch_size)
        return decode_pose(self.camera_head(self.camera_tokens(taps))[-1], size)[0]

    def camera_tokens(self, taps: dict[int, Tensor]) -> Tensor:
        """What the camera head reads of tapped outputs [B, S, T, 2C]: [B, S, 2C]."""
        return read_tap(taps[max(taps)][:, :, 0], self.camera_head)

    def run_heads(
        self,
        out: TrunkOutput,
        layout: TokenLayout,
        images: Tensor,
        queries: Tensor | None = None,
        dense_views: Tensor | None = None,
    ) -> Reconstruction:
        """Trunk outputs -> reconstruction of the ``images`` [B, S, 3, H, W].

        Tracks only when ``queries`` [B, N, 2] (pixels, first view) are given. ``dense_views`` [V]
        (training): indices of the views that get dense maps, which then have that many views.
        """
        grid = (layout.height, layout.width)
        special = layout.special
        chunk = self.chunk(images)
        poses = self.camera_head(self.camera_tokens(out.taps))
        extrinsics, intrinsics = decode_pose(poses[-1], (images.shape[-2], images.shape[-1]))
        dense = views_of(out.taps, dense_views)
        depth, depth_conf = self.depth_head(dense, special, grid, chunk, depth_activation)
        points, points_conf = self.point_head(dense, special, grid, chunk, point_activation)
        result = Reconstruction(
            extrinsics,
            intrinsics,
            depth[..., 0],
            depth_conf,
            points,
            points_conf,
            recursion_depth=out.recursion_depth,
            facts=out.facts,
            extras={"pose_encodings": poses, **out.extras},
        )
        if queries is not None:
            self._add_tracks(result, self.track_head(out.taps, special, grid, chunk, queries))
        return result

    @staticmethod
    def _add_tracks(result: Reconstruction, found: tuple[list[Tensor], Tensor, Tensor]) -> None:
        tracks, result.visibility, result.track_conf = found
        result.tracks = tracks[-1]
        result.extras["tracks"] = tracks


build = VGGT  # what the catalogue makes of a configuration
