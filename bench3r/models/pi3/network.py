"""π³: permutation-equivariant visual geometry (Wang et al. 2025), official parameter names.

No view is the reference: all views carry the same register tokens, and each is reconstructed in its
own camera frame with a pose in a common frame of the model's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench3r.api.reconstruction import Reconstruction
from bench3r.models.backbone import Backbone, add_image_statistics, views_of
from bench3r.models.chunks import chunk_rows, in_chunks, read_tap
from bench3r.models.dinov2 import DinoVisionTransformer
from bench3r.models.geometry import pinhole_from_points, rigid_inverse, transform_points
from bench3r.models.layers import Block, TableCache, TokenLayout, rope_table
from bench3r.models.pi3.config import HeadConfig, Pi3Config
from bench3r.models.trunk import Schedule, Trunk, TrunkOutput


class TransformerDecoder(nn.Module):
    """Frame-wise transformer that turns trunk outputs into features of one head."""

    def __init__(self, dim_in: int, size: HeadConfig, out: int, rope_freq: float) -> None:
        super().__init__()
        self.head_dim = size.dim // size.heads
        self.rope_freq = rope_freq
        self.projects = nn.Linear(dim_in, size.dim)
        self.blocks = nn.ModuleList(
            Block(size.dim, size.heads, init_values=None, eps=1e-6, role="head")
            for _ in range(size.depth)
        )
        self.linear_out = nn.Linear(size.dim, out)
        self._ropes = TableCache()

    def forward(self, tokens: Tensor, layout: TokenLayout) -> Tensor:
        """Tokens [N, T, 2C] of N views -> [N, T, out]."""
        key = (layout.height, layout.width, layout.special, self.head_dim)
        rope = self._ropes.get(key, tokens.device, lambda: rope_table(*key, base=self.rope_freq))
        x = self.projects(tokens)
        for block in self.blocks:
            x = block(x, rope, layout)
        return self.linear_out(x)


class LinearHead(nn.Module):
    """Patch features to pixels: one linear layer and a pixel shuffle."""

    def __init__(self, dim: int, channels: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Linear(dim, channels * patch_size**2)

    def forward(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """Patches [N, P, C] -> map [N, channels, H, W]."""
        x = self.proj(patches).transpose(1, 2).unflatten(2, grid)
        return F.pixel_shuffle(x, self.patch_size)


class ResidualMlp(nn.Module):
    """x + three linear layers, each with a ReLU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.res_conv1 = nn.Linear(dim, dim)
        self.res_conv2 = nn.Linear(dim, dim)
        self.res_conv3 = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.res_conv3(F.relu(self.res_conv2(F.relu(self.res_conv1(x))))))


class PoseHead(nn.Module):
    """Patch features of a view to its camera-to-world pose."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.res_conv = nn.ModuleList(ResidualMlp(dim) for _ in range(2))
        self.more_mlps = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU()
        )
        self.fc_t = nn.Linear(dim, 3)
        self.fc_rot = nn.Linear(dim, 9)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches [N, P, C] -> camera to world [N, 4, 4]."""
        for block in self.res_conv:
            patches = block(patches)
        x = self.more_mlps(patches.mean(1))
        rotation = nearest_rotation(self.fc_rot(x).unflatten(-1, (3, 3)))
        pose = torch.cat([rotation, self.fc_t(x)[..., None]], -1)
        bottom = pose.new_tensor([0.0, 0, 0, 1]).expand(len(pose), 1, 4)
        return torch.cat([pose, bottom], 1)


def nearest_rotation(m: Tensor) -> Tensor:
    """The rotation [..., 3, 3] nearest to ``m`` [..., 3, 3] (Levinson et al. 2020).

    Rows of ``m`` are given unit length first. The gradient is that of the projection itself, which
    stays finite where singular values are equal (as they are near every rotation) and the gradient
    of the decomposition does not.
    """
    m = F.normalize(m, dim=-1)
    u, s, vt = torch.linalg.svd(m.detach())
    sign = torch.linalg.det(u @ vt)[..., None]
    u = torch.cat([u[..., :2], u[..., 2:] * sign[..., None]], -1)
    rotation = u @ vt
    if not torch.is_grad_enabled():
        return rotation
    s = torch.cat([s[..., :2], s[..., 2:] * sign], -1)
    turned = u.mT @ m @ vt.mT  # diag(s); its antisymmetric part is 0 and carries the gradient
    pairs = s[..., :, None] + s[..., None, :]
    return u @ (torch.eye(3, device=m.device) + (turned - turned.mT) / pairs.clamp(min=1e-3)) @ vt


def trunk_block(config: Pi3Config, index: int) -> Block:
    """Block ``index`` of the decoder."""
    return Block(
        config.encoder.dim,
        config.heads,
        qk_norm=True,
        init_values=config.init_values,
        eps=1e-6,
        role="global" if index % 2 else "frame",
    )


def head_decoder(config: Pi3Config, out: int) -> TransformerDecoder:
    """The decoder of a head with ``out`` features."""
    return TransformerDecoder(2 * config.encoder.dim, config.head, out, config.rope_freq)


class Pi3(Backbone, Trunk):
    """Images to local points, confidence and poses; the decoder blocks are its trunk.

    Intrinsics are fitted to the local points (π³ predicts none); world points and poses are moved
    into the frame of camera 0. ``extras`` of a reconstruction hold the raw outputs: camera_poses
    [B, S, 4, 4], local_points [B, S, H, W, 3], conf_logits [B, S, H, W].
    """

    name = "pi3"
    has_reference_view = False
    image_mean: Tensor
    image_std: Tensor

    def __init__(self, config: Pi3Config | None = None) -> None:
        super().__init__()
        self.config = config = config or Pi3Config()
        config.check()
        encoder = config.encoder
        dim = encoder.dim
        self.set_up_trunk(config.pairs, dim // config.heads, config.rope_freq)
        self.patch_size = encoder.patch_size
        self.special = config.registers
        self.encoder = DinoVisionTransformer(
            encoder.img_size,
            encoder.patch_size,
            dim,
            encoder.depth,
            encoder.heads,
            mask_token=False,
        )
        self.register_token = nn.Parameter(torch.randn(1, 1, config.registers, dim) * 1e-6)
        self.decoder = nn.ModuleList(trunk_block(config, i) for i in range(config.depth))
        self.point_decoder = head_decoder(config, config.head_out)
        self.conf_decoder = head_decoder(config, config.head_out)
        self.camera_decoder = head_decoder(config, config.camera_dim)
        self.point_head = LinearHead(config.head_out, 3, encoder.patch_size)
        self.conf_head = LinearHead(config.head_out, 1, encoder.patch_size)
        self.camera_head = PoseHead(config.camera_dim)
        add_image_statistics(self, persistent=True)
        self.schedule = Schedule()

    @property
    def frame_blocks(self) -> nn.ModuleList:  # type: ignore[override]
        """Blocks that attend inside a view."""
        return self.decoder[0::2]

    @property
    def global_blocks(self) -> nn.ModuleList:  # type: ignore[override]
        """Blocks that attend over the scene."""
        return self.decoder[1::2]

    def replace_blocks(self, frame: Iterable[nn.Module], global_: Iterable[nn.Module]) -> None:
        self.decoder = nn.ModuleList(chain.from_iterable(zip(frame, global_, strict=True)))

    @property
    def trunk(self) -> Pi3:
        """The model is its own trunk: the official names put the blocks at the top."""
        return self

    @property
    def width(self) -> int:
        """Channels of a trunk token."""
        return self.config.encoder.dim

    @property
    def taps(self) -> tuple[int, ...]:
        """All heads read the last pair."""
        return (self.config.pairs - 1,)

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Part -> names of its modules."""
        blocks = [f"decoder.{i}" for i in range(len(self.decoder))]
        heads = {f"{n}_head": (f"{n}_decoder", f"{n}_head") for n in ("camera", "point", "conf")}
        return {
            "patch_embed": ("encoder",),
            "frame_blocks": tuple(blocks[::2]),
            "global_blocks": tuple(blocks[1::2]),
            **heads,
        }

    def embed(self, images: Tensor) -> tuple[Tensor, TokenLayout]:
        b, s, _, h, w = map(int, images.shape)
        patches = self.encoder((images.flatten(0, 1) - self.image_mean) / self.image_std)
        registers = self.register_token.to(patches.dtype).expand(b, s, -1, -1)
        tokens = torch.cat([registers, patches.unflatten(0, (b, s))], 2)
        return tokens, TokenLayout(b, s, self.special, h // self.patch_size, w // self.patch_size)

    def decode(self, name: str, tokens: Tensor, layout: TokenLayout, chunk: int) -> Tensor:
        """Patch features [N, P, out] of the head ``name``.

        From trunk outputs [N, T, 2C] of N views, ``chunk`` views at a time.
        """
        decoder: Any = getattr(self, f"{name}_decoder")
        out = in_chunks(lambda part: decoder(read_tap(part, decoder), layout), tokens, chunk)
        return out[:, layout.special :]

    def pixels(self, name: str, tokens: Tensor, layout: TokenLayout, chunk: int) -> Tensor:
        """Map [B, S, channels, H, W] of the head ``name`` from trunk outputs [B, S, T, 2C]."""
        head: Any = getattr(self, f"{name}_head")
        grid = (layout.height, layout.width)

        def some(part: Tensor) -> Tensor:
            return head(self.decode(name, part, layout, chunk), grid)

        return self.by_view(some, tokens)

    @staticmethod
    def by_view(run: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
        """``run`` on trunk outputs [B, S, T, 2C], some views [n, T, 2C] at a time: [B, S, ...]."""
        rows = chunk_rows(int(tokens.shape[2]))
        return in_chunks(run, tokens.flatten(0, 1), rows).unflatten(0, tokens.shape[:2])

    def depths(self, taps: dict[int, Tensor], layout: TokenLayout) -> Tensor:
        return self.pixels("point", taps[max(taps)], layout, 1)[:, :, 2].exp()

    def poses(self, taps: dict[int, Tensor], layout: TokenLayout) -> Tensor:
        return self.camera_poses(taps[max(taps)], layout, 1)[..., :3, :]

    def camera_poses(self, tokens: Tensor, layout: TokenLayout, chunk: int) -> Tensor:
        """Camera to world [B, S, 4, 4] from trunk outputs [B, S, T, 2C]."""

        def some(part: Tensor) -> Tensor:
            return self.camera_head(self.decode("camera", part, layout, chunk))

        return self.by_view(some, tokens)

    def local_points(self, tokens: Tensor, layout: TokenLayout, chunk: int) -> Tensor:
        """Points in each camera's frame [B, S, H, W, 3] from trunk outputs [B, S, T, 2C]."""
        xyz = self.pixels("point", tokens, layout, chunk).movedim(2, -1)
        z = xyz[..., 2:].exp()
        return torch.cat([xyz[..., :2] * z, z], -1)

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
        """
        last = self.taps[-1]
        chunk = self.chunk(images)
        dense = views_of(out.taps, dense_views)[last]
        poses = self.camera_poses(out.taps[last], layout, chunk)
        local = self.local_points(dense, layout, chunk)
        logits = self.pixels("conf", dense, layout, chunk)[:, :, 0]
        confidence = logits.sigmoid()
        to_first = rigid_inverse(poses[:, :1]) @ poses
        seen = to_first if dense_views is None else to_first[:, dense_views]
        points = transform_points(seen, local)
        raw = {"camera_poses": poses, "local_points": local, "conf_logits": logits}
        return Reconstruction(
            extrinsics=rigid_inverse(to_first)[..., :3, :],
            intrinsics=pinhole_from_points(local, confidence),
            depth=local[..., 2],
            depth_conf=confidence,
            world_points=points,
            world_points_conf=confidence,
            recursion_depth=out.recursion_depth,
            facts=out.facts,
            extras={**raw, **out.extras},
        )


build = Pi3  # what the catalogue makes of a configuration
