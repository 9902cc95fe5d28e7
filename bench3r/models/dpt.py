"""DPT head: dense prediction from four levels of trunk tokens (Ranftl et al. 2021).

Same numbers as the official head with less work: the 1x1 convolution of each fusion block runs
before the upsampling (they commute: bilinear weights sum to 1), position grids are computed once
per size, and frames go through in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench3r.models.chunks import join_chunks, read_tap
from bench3r.models.layers import TableCache

_GRIDS = TableCache()


def sincos_grid(channels: int, height: int, width: int, aspect: float) -> Tensor:
    """0.1 x sine-cosine embedding [1, channels, height, width] of the image plane.

    The first half of the channels comes from x, the second from y. x spans +-aspect / diagonal and
    y spans +-1 / diagonal at pixel centres, ``aspect`` being width / height of the image and
    diagonal = sqrt(aspect^2 + 1). Frequencies 100^(-4k / channels); computed in float64.
    """
    diagonal = (aspect**2 + 1) ** 0.5
    span_x = aspect / diagonal * (width - 1) / width
    span_y = (height - 1) / (height * diagonal)
    quarter = channels // 4
    omega = 100.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    x = torch.linspace(-span_x, span_x, width, dtype=torch.float64)[:, None] * omega
    y = torch.linspace(-span_y, span_y, height, dtype=torch.float64)[:, None] * omega
    x = torch.cat([x.sin(), x.cos()], 1).T[:, None, :].expand(-1, height, -1)
    y = torch.cat([y.sin(), y.cos()], 1).T[:, :, None].expand(-1, -1, width)
    return (0.1 * torch.cat([x, y]))[None].float()


def add_position(x: Tensor, aspect: float) -> Tensor:
    """``x`` [N, C, h, w] plus the cached sine-cosine grid of its size."""
    channels, height, width = map(int, x.shape[1:])
    key = (channels, height, width, round(aspect, 9))
    grid = _GRIDS.get(key, x.device, lambda: sincos_grid(channels, height, width, aspect))
    grid = grid.to(x.dtype)
    return x + grid if torch.is_grad_enabled() else x.add_(grid)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """``x`` [N, C, h, w] -> [N, C, *size], bilinear, corners aligned."""
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


class ResidualConvUnit(nn.Module):
    """Skip plus conv2(relu(conv1(relu(x)))).

    Where the first ReLU works in place, as in some official code, the skip carries relu(x); with
    ``in_place_relu`` False it carries x.
    """

    def __init__(self, features: int, in_place_relu: bool = True) -> None:
        super().__init__()
        self.in_place_relu = in_place_relu
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        positive = F.relu(x)
        return (positive if self.in_place_relu else x) + self.conv2(F.relu(self.conv1(positive)))


class FusionBlock(nn.Module):
    """Adds a finer level to the running map, refines it and upsamples it."""

    def __init__(self, features: int, lateral: bool = True, in_place_relu: bool = True) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(features, features, 1)
        if lateral:
            self.resConfUnit1 = ResidualConvUnit(features, in_place_relu)
        self.resConfUnit2 = ResidualConvUnit(features, in_place_relu)

    def forward(self, x: Tensor, lateral: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Running map and lateral level [N, C, h, w] -> [N, C, *size]."""
        if lateral is not None:
            x = x + self.resConfUnit1(lateral)
        return resize(self.out_conv(self.resConfUnit2(x)), size)


def fusion_chain(features: int, level: int, in_place_relu: bool = True) -> FusionBlock:
    """The fusion block of ``level`` (1: finest, 4: coarsest, which has no lateral input)."""
    return FusionBlock(features, level != 4, in_place_relu)


class DPTHead(nn.Module):
    """Tokens of four trunk levels to a dense map.

    - dim_in: channels of a tap (2C); patch_size: pixels per patch side
    - output_dim: channels of the map, the last one being the confidence; None stops at the features
    - features, out_channels: width of the fusion path and of the four levels
    - intermediate_layer_idx: pair indices tapped
    - pos_embed: add the image-plane position to levels and features
    - down_ratio: output at 1 / down_ratio
    - in_place_relu: see :class:`ResidualConvUnit`
    """

    def __init__(
        self,
        dim_in: int,
        patch_size: int = 14,
        output_dim: int | None = 4,
        features: int = 256,
        out_channels: Sequence[int] = (256, 512, 1024, 1024),
        intermediate_layer_idx: Sequence[int] = (4, 11, 17, 23),
        pos_embed: bool = True,
        down_ratio: int = 1,
        in_place_relu: bool = True,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.pos_embed = pos_embed
        self.down_ratio = down_ratio
        self.taps = tuple(intermediate_layer_idx)
        self.norm = nn.LayerNorm(dim_in)
        self.projects = nn.ModuleList(nn.Conv2d(dim_in, c, 1) for c in out_channels)
        c0, c1, _, c3 = out_channels
        up4 = nn.ConvTranspose2d(c0, c0, 4, 4)
        up2 = nn.ConvTranspose2d(c1, c1, 2, 2)
        down2 = nn.Conv2d(c3, c3, 3, 2, 1)
        self.resize_layers = nn.ModuleList([up4, up2, nn.Identity(), down2])
        self.scratch: Any = self._scratch(features, out_channels, output_dim, in_place_relu)

    @staticmethod
    def _scratch(
        features: int, out_channels: Sequence[int], output_dim: int | None, in_place_relu: bool
    ) -> nn.Module:
        scratch: Any = nn.Module()
        for level, channels in enumerate(out_channels, 1):
            conv = nn.Conv2d(channels, features, 3, padding=1, bias=False)
            setattr(scratch, f"layer{level}_rn", conv)
            setattr(scratch, f"refinenet{level}", fusion_chain(features, level, in_place_relu))
        narrow = features if output_dim is None else features // 2
        scratch.output_conv1 = nn.Conv2d(features, narrow, 3, padding=1)
        if output_dim is not None:
            scratch.output_conv2 = nn.Sequential(
                nn.Conv2d(narrow, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, output_dim, 1)
            )
        return scratch

    def levels(self, taps: Sequence[Tensor], grid: tuple[int, int], aspect: float) -> list[Tensor]:
        """Patch tokens [N, P, dim_in] per tap -> four maps [N, features, ...].

        They have 4, 2, 1 and 1/2 times the sides of the patch grid.
        """
        maps = []
        for level, tokens in enumerate(taps):
            x = self.norm(tokens).transpose(1, 2).unflatten(2, grid)  # channels_last by strides
            x = self.projects[level](x)
            if self.pos_embed:
                x = add_position(x, aspect)
            x = self.resize_layers[level](x)
            maps.append(getattr(self.scratch, f"layer{level + 1}_rn")(x))
        return maps

    def fuse_levels(self, maps: list[Tensor], path: str = "") -> Tensor:
        """Four level maps [N, features, ...] -> [N, features, 8h, 8w].

        Along the fusion blocks whose names end in ``path``.
        """
        x = maps[3]
        for level in (3, 2, 1, 0):
            height, width = maps[level - 1].shape[-2:] if level else (2 * n for n in x.shape[-2:])
            lateral = None if level == 3 else maps[level]
            block = getattr(self.scratch, f"refinenet{level + 1}{path}")
            x = block(x, lateral, (int(height), int(width)))
        return x

    def fuse(self, maps: list[Tensor]) -> Tensor:
        """Four level maps [N, features, ...] -> [N, features', 8h, 8w].

        After the first output convolution.
        """
        return self.scratch.output_conv1(self.fuse_levels(maps))

    def output(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Fused features [N, C, 8h, 8w] -> map [N, C', H / down_ratio, W / down_ratio]."""
        height = grid[0] * self.patch_size // self.down_ratio
        width = grid[1] * self.patch_size // self.down_ratio
        x = resize(x, (height, width))
        if self.pos_embed:
            x = add_position(x, grid[1] / grid[0])
        return self.scratch.output_conv2(x) if hasattr(self.scratch, "output_conv2") else x

    def dense(self, taps: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """Tokens [N, P, dim_in] of one chunk of frames, per tap -> map [N, C, H', W'].

        Its sides are those of the image over ``down_ratio``.
        """
        return self.output(self.fuse(self.levels(taps, grid, grid[1] / grid[0])), grid)

    def forward(
        self,
        taps: dict[int, Tensor],
        special: int,
        grid: tuple[int, int],
        chunk: int,
        activate: Callable | None = None,
    ) -> list[Tensor]:
        """Taps [B, S, T, dim_in] -> maps [B, S, ...], one per output of ``activate``.

        Without it the raw map. ``chunk`` frames are processed at a time, so the peak memory does
        not grow with the number of frames.
        """
        views = taps[self.taps[0]].shape[:2]
        frames = [taps[i].flatten(0, 1) for i in self.taps]

        def some(start: int) -> tuple[Tensor, ...]:
            parts = [read_tap(t[start : start + chunk], self)[:, special:] for t in frames]
            out = self.dense(parts, grid)
            return tuple(activate(out)) if activate else (out,)

        return [x.unflatten(0, views) for x in join_chunks(some, len(frames[0]), chunk)]


def depth_activation(x: Tensor) -> tuple[Tensor, Tensor]:
    """[N, 2, H, W] -> depth exp(v) [N, H, W, 1] and confidence 1 + exp(c) [N, H, W]."""
    return x[:, 0, :, :, None].exp(), 1 + x[:, 1].exp()


def point_activation(x: Tensor) -> tuple[Tensor, Tensor]:
    """[N, 4, H, W] -> points sign(v) (exp|v| - 1) [N, H, W, 3] and confidence [N, H, W].

    The confidence is 1 + exp(c).
    """
    points = x[:, :3].permute(0, 2, 3, 1)
    return points.sign() * points.abs().expm1(), 1 + x[:, 3].exp()
