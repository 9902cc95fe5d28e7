"""A trunk of frame and global blocks between one convolution and two linear heads."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from bench3r.models.planted.config import PlantedConfig
from torch import Tensor, nn

from bench3r.api.reconstruction import Reconstruction
from bench3r.models.backbone import Backbone
from bench3r.models.dinov2 import PatchEmbed
from bench3r.models.geometry import decode_pose
from bench3r.models.layers import Block, TokenLayout
from bench3r.models.trunk import Schedule, Trunk, TrunkOutput


def blocks(config: PlantedConfig, role: str) -> nn.ModuleList:
    out = nn.ModuleList()
    for _ in range(config.pairs):
        out.append(Block(config.width, config.heads, qk_norm=True, init_values=0.1, role=role))
    return out


class Planted(Backbone, Trunk):
    """Images to cameras and depth; it is its own trunk."""

    name = "planted"
    special = 1

    def __init__(self, config: PlantedConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_size = config.patch_size
        self.set_up_trunk(config.pairs, config.width // config.heads, 100.0)
        self.patch_embed = PatchEmbed(config.patch_size, config.width)
        self.camera_token = nn.Parameter(torch.zeros(1, 1, 1, config.width))
        self.frame_blocks = blocks(config, "frame")
        self.global_blocks = blocks(config, "global")
        self.depth_head = nn.Linear(2 * config.width, config.patch_size**2)
        self.camera_head = nn.Linear(2 * config.width, 9)
        self.schedule = Schedule()

    @property
    def trunk(self) -> Planted:
        return self

    @property
    def width(self) -> int:
        return self.config.width

    @property
    def taps(self) -> tuple[int, ...]:
        return (self.config.pairs - 1,)

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        names = ("patch_embed", "frame_blocks", "global_blocks", "camera_head", "depth_head")
        return {name: (name,) for name in names}

    def embed(self, images: Tensor) -> tuple[Tensor, TokenLayout]:
        b, s, _, h, w = map(int, images.shape)
        patches = self.patch_embed(images.flatten(0, 1)).unflatten(0, (b, s))
        tokens = torch.cat([self.camera_token.expand(b, s, -1, -1), patches], 2)
        return tokens, TokenLayout(b, s, 1, h // self.patch_size, w // self.patch_size)

    def depths(self, taps: dict[int, Tensor], layout: TokenLayout) -> Tensor:
        raw = self.depth_head(taps[max(taps)][:, :, 1:]).flatten(0, 1).mT
        maps = F.pixel_shuffle(raw.unflatten(2, (layout.height, layout.width)), self.patch_size)
        return maps[:, 0].exp().unflatten(0, (layout.batch, -1))

    def poses(self, taps: dict[int, Tensor], layout: TokenLayout) -> Tensor:
        size = (layout.height * self.patch_size, layout.width * self.patch_size)
        return decode_pose(self.camera_head(taps[max(taps)][:, :, 0]), size)[0]

    def run_heads(
        self,
        out: TrunkOutput,
        layout: TokenLayout,
        images: Tensor,
        queries: Tensor | None = None,
        dense_views: Tensor | None = None,
    ) -> Reconstruction:
        last = out.taps[self.taps[0]]
        pose = self.camera_head(last[:, :, 0])
        size = (int(images.shape[-2]), int(images.shape[-1]))
        extrinsics, intrinsics = decode_pose(pose, size, least_tangent=1e-6)
        seen = last if dense_views is None else last[:, dense_views]
        depth = self.depths({0: seen}, layout)
        return Reconstruction(
            extrinsics,
            intrinsics,
            depth,
            torch.ones_like(depth),
            recursion_depth=out.recursion_depth,
            facts=out.facts,
            extras={"pose_encodings": [pose], **out.extras},
        )


build = Planted
