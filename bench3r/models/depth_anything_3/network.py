"""Depth-Anything-3 (Lin et al. 2025): a plain DINOv2 made multi-view.

Parameter names are the official ones. The first blocks attend inside each view; from ``alt_start``
on they alternate between views and the scene, which is the trunk of this backbone. A reference view
is chosen from the class tokens and put first; outputs keep the given order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench3r.api.reconstruction import Reconstruction
from bench3r.models.backbone import Backbone, add_image_statistics, views_of
from bench3r.models.chunks import chunk_rows, in_chunks, join_chunks, read_tap
from bench3r.models.depth_anything_3.config import (
    CameraEncoderConfig,
    DepthAnything3Config,
    DinoConfig,
    ReferenceStrategy,
)
from bench3r.models.depth_anything_3.reference import choose_reference, reference_first, reorder
from bench3r.models.dinov2 import PatchEmbed
from bench3r.models.dpt import DPTHead, add_position, fusion_chain
from bench3r.models.geometry import decode_pose, encode_pose, rigid_inverse
from bench3r.models.layers import Block, Mlp, TokenLayout, rope_rows
from bench3r.models.trunk import Schedule, Trunk, TrunkInput, TrunkOutput


class AlternatingDino(nn.Module, Trunk):
    """DINOv2 without registers.

    Blocks before ``alt_start`` embed, the others are the trunk's pairs.
    """

    def __init__(self, config: DinoConfig) -> None:
        super().__init__()
        dim = config.dim
        self.alt_start = config.alt_start
        frequency = 100.0 if config.rope_start >= 0 else 0.0
        self.set_up_trunk((config.depth - config.alt_start) // 2, dim // config.heads, frequency)
        self.patch_size = config.patch_size
        self.special = 1
        self.grid = config.img_size // config.patch_size
        self.patch_embed = PatchEmbed(config.patch_size, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.camera_token = nn.Parameter(torch.randn(1, 2, dim) * 1e-6)  # first view | the others
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid**2, dim))
        self.blocks = nn.ModuleList(self._block(config, i) for i in range(config.depth))
        self.norm = nn.LayerNorm(dim)
        # of positions in global attention: 0 as published, 1 as in VGGT
        self.spread = 0.0

    @staticmethod
    def _block(config: DinoConfig, index: int) -> Block:
        role = "global" if index % 2 else "frame"
        return Block(
            config.dim,
            config.heads,
            qk_norm=0 <= config.qknorm_start <= index,
            init_values=config.init_values,
            eps=1e-6,
            role=role if index >= config.alt_start else "encoder",
        )

    @property
    def frame_blocks(self) -> nn.ModuleList:  # type: ignore[override]
        """Blocks of the trunk that attend inside a view."""
        return self.blocks[self.alt_start :: 2]

    @property
    def global_blocks(self) -> nn.ModuleList:  # type: ignore[override]
        """Blocks of the trunk that attend over the scene."""
        return self.blocks[self.alt_start + 1 :: 2]

    def replace_blocks(self, frame: Iterable[nn.Module], global_: Iterable[nn.Module]) -> None:
        pairs = chain.from_iterable(zip(frame, global_, strict=True))
        self.blocks = nn.ModuleList([*self.blocks[: self.alt_start], *pairs])

    def global_rope(self, layout: TokenLayout, device: torch.device) -> Tensor | None:
        """The table [2, T, 1, head_dim] of one view, in which all patches sit at (1, 1).

        So there is no spatial order across views, unless ``spread`` says otherwise. None without
        rotary position.
        """
        if self.rope_freq <= 0:
            return None
        grid = (layout.height, layout.width, layout.special, self.head_dim)
        if self.spread:
            return spread_position_table(*grid, spread=self.spread).to(device)
        key = ("same", *grid)
        return self._ropes.get(key, device, lambda: spread_position_table(*grid, spread=0.0))

    def positions(self, height: int, width: int) -> Tensor:
        """Position embedding [1, 1 + height * width, dim]: bicubic without antialiasing.

        The official code hands over scale factors with 0.1 added to the grid, which moves the
        sampling points.
        """
        if height == width == self.grid:
            return self.pos_embed
        table = self.pos_embed[:, 1:].float().unflatten(1, (self.grid, self.grid))
        scale = ((height + 0.1) / self.grid, (width + 0.1) / self.grid)
        table = F.interpolate(
            table.permute(0, 3, 1, 2), scale_factor=scale, mode="bicubic", antialias=False
        )
        patches = table.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :1], patches], 1)

    def local(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images [N, 3, H, W] -> tokens [N, 1 + P, dim] before the trunk.

        And the class tokens [N, dim] that the reference view is chosen by, from before the last of
        these blocks.
        """
        rows = int(images.shape[-2] // self.patch_size)
        columns = int(images.shape[-1] // self.patch_size)
        views = chunk_rows(1 + rows * columns)
        before = in_chunks(self._before_last, images, views)
        classes = before[:, 0].contiguous()
        layout = TokenLayout(len(images), 1, 1, rows, columns)
        last = self.blocks[self.alt_start - 1]
        return in_chunks(lambda part: last(part, layout=layout), before, views), classes

    def _before_last(self, images: Tensor) -> Tensor:
        """Tokens [N, 1 + P, dim] before the last of the local blocks."""
        rows = int(images.shape[-2] // self.patch_size)
        columns = int(images.shape[-1] // self.patch_size)
        x = torch.cat([self.cls_token.expand(len(images), -1, -1), self.patch_embed(images)], 1)
        x = x + self.positions(rows, columns)
        layout = TokenLayout(len(images), 1, 1, rows, columns)
        for block in self.blocks[: self.alt_start - 1]:
            x = block(x, layout=layout)
        return x


def spread_position_table(
    height: int, width: int, special: int, head_dim: int, spread: float
) -> Tensor:
    """Rotary table [2, special + height * width, 1, head_dim] of one view.

    Special tokens sit at (0, 0), patch (r, c) at (1 + spread * r, 1 + spread * c): all at (1, 1)
    with 0, as in :func:`rope_table` with 1.
    """
    patches = 1 + spread * torch.cartesian_prod(torch.arange(height), torch.arange(width))
    return rope_rows(torch.cat([patches.new_zeros(special, 2), patches]), head_dim)


def position_spread(progress: float, transition: float) -> float:
    """How far positions are spread at ``progress`` of a training with this ``transition``.

    1 for its first third, then linearly down to 0.
    """
    return 0.0 if progress >= transition else min(1.0, 1.5 * (1 - progress / transition))


class DualDPT(DPTHead):
    """DPT head with two fusion paths over the same levels.

    One for depth, one for a ray map at 8 x the patch grid.
    """

    RAY_CHANNELS = 7  # direction 3, origin 3, confidence

    def __init__(
        self,
        dim_in: int,
        taps: tuple[int, ...],
        features: int,
        out_channels: tuple[int, ...],
        patch: int,
    ) -> None:
        super().__init__(
            dim_in,
            patch,
            output_dim=2,
            features=features,
            out_channels=out_channels,
            intermediate_layer_idx=taps,
            in_place_relu=False,
        )
        for level in (1, 2, 3, 4):
            block = fusion_chain(features, level, in_place_relu=False)
            setattr(self.scratch, f"refinenet{level}_aux", block)
        # only the finest (last) of each is used, as upstream
        convs = nn.ModuleList(self._ray_convs(features) for _ in range(4))
        self.scratch.output_conv1_aux = convs
        outputs = nn.ModuleList(self._ray_output(features // 2) for _ in range(4))
        self.scratch.output_conv2_aux = outputs

    def _ray_convs(self, features: int) -> nn.Sequential:
        half = features // 2
        widths = [features, half, features, half, features, half]
        return nn.Sequential(*(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths)))

    def _ray_output(self, channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            ChannelsLast(),
            nn.LayerNorm(32),
            ChannelsFirst(),
            nn.ReLU(),
            nn.Conv2d(32, self.RAY_CHANNELS, 1),
        )

    def outputs(self, taps: list[Tensor], grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Tokens [N, P, 2C] per level -> depth map [N, 2, H, W] and rays [N, 7, 8h, 8w].

        Both before activation.
        """
        aspect = grid[1] / grid[0]
        maps = self.levels(taps, grid, aspect)
        depth = self.output(self.fuse(maps), grid)
        rays = self.scratch.output_conv1_aux[-1](self.fuse_levels(maps, "_aux"))
        return depth, self.scratch.output_conv2_aux[-1](add_position(rays, aspect))


class ChannelsLast(nn.Module):
    """[N, C, H, W] -> [N, H, W, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class ChannelsFirst(nn.Module):
    """[N, H, W, C] -> [N, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


class CameraDecoder(nn.Module):
    """Camera token to the pose encoding of the camera-to-world matrix."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU()
        )
        self.fc_t = nn.Linear(dim, 3)
        self.fc_qvec = nn.Linear(dim, 4)
        self.fc_fov = nn.Sequential(nn.Linear(dim, 2), nn.ReLU())

    def forward(self, tokens: Tensor) -> Tensor:
        """Camera tokens [B, S, 2C] -> pose encodings [B, S, 9]."""
        x = self.backbone(tokens)
        return torch.cat([self.fc_t(x), self.fc_qvec(x), self.fc_fov(x)], -1)


class CameraEncoder(nn.Module):
    """Given poses to camera tokens."""

    def __init__(self, dim: int, config: CameraEncoderConfig) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(Block(dim, config.heads, role="head") for _ in range(config.depth))
        )
        self.token_norm = nn.LayerNorm(dim)
        self.trunk_norm = nn.LayerNorm(dim)
        self.pose_branch = Mlp(9, dim // 2, dim)

    def forward(self, extrinsics: Tensor, intrinsics: Tensor, size: tuple[int, int]) -> Tensor:
        """Extrinsics [B, S, 4, 4], intrinsics [B, S, 3, 3] -> camera tokens [B, S, C].

        Extrinsics are world to camera; images have the ``size`` (H, W).
        """
        poses = encode_pose(rigid_inverse(extrinsics)[..., :3, :], intrinsics, size)
        return self.trunk_norm(self.trunk(self.token_norm(self.pose_branch(poses))))


class DepthAnything3(Backbone):
    """Images to depth, rays and cameras; the state dict has the hub's prefix ``model.``."""

    name = "depth_anything_3"
    image_mean: Tensor
    image_std: Tensor

    def __init__(self, config: DepthAnything3Config | None = None) -> None:
        super().__init__()
        self.config = config = config or DepthAnything3Config()
        config.check()
        net: Any = nn.Module()
        net.backbone = nn.Module()
        net.backbone.pretrained = AlternatingDino(config.net)
        dim = config.net.dim
        head = config.head
        net.head = DualDPT(
            2 * dim, config.depth_taps, head.features, head.out_channels, config.patch_size
        )
        net.cam_dec = CameraDecoder(2 * dim)
        if config.cam_enc is not None:
            net.cam_enc = CameraEncoder(dim, config.cam_enc)
        self.model = net
        add_image_statistics(self)
        self.schedule = Schedule()

    @property
    def trunk(self) -> AlternatingDino:
        """The alternating blocks of the DINOv2."""
        return self.model.backbone.pretrained

    @property
    def width(self) -> int:
        """Channels of a trunk token."""
        return self.config.net.dim

    @property
    def taps(self) -> tuple[int, ...]:
        """Pairs that the heads read."""
        return tuple(sorted({*self.model.head.taps, self.config.pairs - 1}))

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Part -> names of its modules."""
        root = "model.backbone.pretrained"
        blocks = [f"{root}.blocks.{i}" for i in range(len(self.trunk.blocks))]
        local = blocks[: self.trunk.alt_start]
        rest = blocks[self.trunk.alt_start :]
        return {
            "patch_embed": (f"{root}.patch_embed", *local),
            "frame_blocks": tuple(rest[::2]),
            "global_blocks": tuple(rest[1::2]),
            "camera_head": ("model.cam_dec",),
            "depth_head": ("model.head",),
            "camera_encoder": ("model.cam_enc",),
        }

    def embed(self, images: Tensor) -> tuple[Tensor, TokenLayout]:
        tokens, layout, _ = self.embed_views(images)
        return tokens, layout

    def follow_training(self, progress: float, transition: float) -> None:
        """Positions of global attention go from VGGT's to none in the course of ``transition``.

        What was taken from VGGT keeps working meanwhile.
        """
        super().follow_training(progress, transition)
        self.trunk.spread = position_spread(progress, transition)

    def embed_views(
        self, images: Tensor, cameras: Tensor | None = None
    ) -> tuple[Tensor, TokenLayout, Tensor | None]:
        """As :meth:`embed`: tokens [B, S, 1 + P, C] of ``images`` [B, S, 3, H, W].

        With given camera tokens [B, S, C] or none. Also returns the order [B, S] that the views
        were put in (None: as given).
        """
        b, s, _, h, w = map(int, images.shape)
        trunk = self.trunk
        x, classes = trunk.local((images.flatten(0, 1) - self.image_mean) / self.image_std)
        x = x.unflatten(0, (b, s))
        order = None
        if cameras is None and s >= 3:
            # training data is in view 0's frame
            strategy: ReferenceStrategy = "first" if self.training else self.config.reference
            order = reference_first(choose_reference(classes.unflatten(0, (b, s)), strategy), s)
            x = reorder(x, order)
        if cameras is None:
            others = trunk.camera_token[:, 1:].expand(-1, s - 1, -1)
            cameras = torch.cat([trunk.camera_token[:, :1], others], 1).expand(b, -1, -1)
        # in place of the class token
        tokens = torch.cat([cameras[:, :, None].to(x.dtype), x[:, :, 1:]], 2)
        return tokens, TokenLayout(b, s, 1, h // trunk.patch_size, w // trunk.patch_size), order

    def run_trunk(
        self, images: Tensor, keep_all: bool = False, poses: tuple[Tensor, Tensor] | None = None
    ) -> tuple[TrunkOutput, TokenLayout]:
        """Images [B, S, 3, H, W] in [0, 1] -> tapped trunk outputs [B, S, T, 2C].

        Views are in the given order. ``poses``: known extrinsics [B, S, 4, 4] (world to camera) and
        intrinsics [B, S, 3, 3], encoded in place of the camera tokens. Raises ValueError when the
        model has no encoder for them.
        """
        self.check_images(images)
        if poses is not None and self.config.cam_enc is None:
            raise ValueError("poses were given, but this DepthAnything3 has no camera encoder")
        with self.autocast(images.device):
            size = (int(images.shape[-2]), int(images.shape[-1]))
            cameras = None if poses is None else self.model.cam_enc(*poses, size)
            inputs, order = self.trunk_inputs(images, cameras, keep_all)
            out = self.run_schedule(inputs)
        if order is None:
            return out, inputs.layout
        back = order.argsort(1)
        for pair in list(out.taps):  # one at a time: the one in the other order goes
            out.taps[pair] = reorder(out.taps[pair], back)
        if out.recursion_depth is not None:
            out = replace(out, recursion_depth=reorder(out.recursion_depth, back))
        return out, inputs.layout

    def trunk_inputs(
        self, images: Tensor, cameras: Tensor | None, keep_all: bool
    ) -> tuple[TrunkInput, Tensor | None]:
        """What the schedule starts from, and the order [B, S] of its views (None: as given).

        Arguments as of :meth:`embed_views` and :meth:`run_trunk`.
        """
        tokens, layout, order = self.embed_views(images, cameras)
        seen = images if order is None else reorder(images, order)
        return self.trunk.inputs(tokens, layout, self.taps, keep_all, seen), order

    def depths(self, taps: dict[int, Tensor], layout: TokenLayout) -> Tensor:
        head = self.model.head
        frames = {i: taps[i].flatten(0, 1) for i in head.taps}
        grid = (layout.height, layout.width)

        def one(start: int) -> tuple[Tensor]:
            return (head.dense(self.head_inputs(frames, layout, start, 1), grid),)

        count = len(frames[head.taps[0]])
        (maps,) = join_chunks(one, count, 1)
        return maps[:, 0].exp().unflatten(0, taps[head.taps[0]].shape[:2])

    def poses(self, taps: dict[int, Tensor], layout: TokenLayout) -> Tensor:
        size = (layout.height * self.config.patch_size, layout.width * self.config.patch_size)
        encoded = self.model.cam_dec(self.camera_tokens(taps))
        return decode_pose(encoded, size, least_tangent=1e-6)[0]

    def camera_tokens(self, taps: dict[int, Tensor]) -> Tensor:
        """What the camera decoder reads of tapped outputs [B, S, T, 2C]: [B, S, 2C]."""
        return read_tap(taps[max(taps)][:, :, 0], self.model.cam_dec)

    def head_inputs(
        self, frames: dict[int, Tensor], layout: TokenLayout, start: int, chunk: int
    ) -> list[Tensor]:
        """Patch tokens [n, P, 2C] of the head's levels, of ``chunk`` views from ``start`` on.

        ``frames`` are trunk outputs [N, T, 2C]. The final norm is applied to the global half only.
        """
        levels = []
        for i in self.model.head.taps:
            tokens = read_tap(frames[i][start : start + chunk], self.model.head)
            local, joint = tokens[:, layout.special :].chunk(2, -1)
            levels.append(torch.cat([local, self.trunk.norm(joint)], -1))
        return levels

    def dense(
        self, taps: dict[int, Tensor], layout: TokenLayout, chunk: int
    ) -> tuple[Tensor, Tensor]:
        """Raw depth maps [B, S, 2, H, W] and rays [B, S, 8h, 8w, 7] of taps [B, S, T, 2C]."""
        head = self.model.head
        views = taps[head.taps[0]].shape[:2]
        frames = {i: taps[i].flatten(0, 1) for i in head.taps}

        def some(start: int) -> tuple[Tensor, Tensor]:
            inputs = self.head_inputs(frames, layout, start, chunk)
            return head.outputs(inputs, (layout.height, layout.width))

        depth, rays = join_chunks(some, views.numel(), chunk)
        return depth.unflatten(0, views), rays.unflatten(0, views).movedim(2, -1)

    def run_heads(
        self,
        out: TrunkOutput,
        layout: TokenLayout,
        images: Tensor,
        queries: Tensor | None = None,
        dense_views: Tensor | None = None,
    ) -> Reconstruction:
        """Trunk outputs -> reconstruction of the ``images`` [B, S, 3, H, W].

        ``queries`` are for models with a track head. ``dense_views`` [V] (training): indices of the
        views that get dense maps, which then have that many views.

        ``extras``: pose_encodings, one [B, S, 9] of the camera-to-world matrices; rays
        [B, S, 8h, 8w, 6] (direction with unit z-depth, origin) and ray_conf [B, S, 8h, 8w].
        """
        pose = self.model.cam_dec(self.camera_tokens(out.taps))
        size = (int(images.shape[-2]), int(images.shape[-1]))
        to_world, intrinsics = decode_pose(pose, size, least_tangent=1e-6)
        bottom = to_world.new_tensor([0.0, 0, 0, 1]).expand(*to_world.shape[:2], 1, 4)
        extrinsics = torch.linalg.inv(torch.cat([to_world, bottom], 2))[:, :, :3]
        depth, rays = self.dense(views_of(out.taps, dense_views), layout, self.chunk(images))
        ray_conf = 1 + rays[..., 6].exp()
        extras = {"pose_encodings": [pose], "rays": rays[..., :6], "ray_conf": ray_conf}
        return Reconstruction(
            extrinsics,
            intrinsics,
            depth[:, :, 0].exp(),
            1 + depth[:, :, 1].exp(),
            recursion_depth=out.recursion_depth,
            facts=out.facts,
            extras={**extras, **out.extras},
        )


build = DepthAnything3  # what the catalogue makes of a configuration
