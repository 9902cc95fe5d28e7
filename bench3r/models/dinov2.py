"""DINOv2 vision transformer with register tokens, a patch embedding of backbones.

Source: Oquab et al., "DINOv2", 2023, and Darcet et al., "Vision transformers need registers", 2023.
Parameter names are those of the official checkpoints.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench3r.models.chunks import chunk_rows, in_chunks
from bench3r.models.layers import Block, TableCache, TokenLayout


class PatchEmbed(nn.Module):
    """Non-overlapping patches to tokens by one strided convolution."""

    def __init__(self, patch_size: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch_size, patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] -> tokens [N, (H/p)(W/p), dim]."""
        return self.proj(images).flatten(2).transpose(1, 2)


class DinoVisionTransformer(nn.Module):
    """DINOv2 encoder; the patch tokens of the final norm are what a backbone uses."""

    def __init__(
        self,
        img_size: int,
        patch_size: int,
        dim: int,
        depth: int,
        heads: int,
        registers: int = 4,
        mask_token: bool = True,
    ) -> None:
        super().__init__()
        self.grid = img_size // patch_size
        self.patch_size = patch_size
        self.registers = registers
        self.patch_embed = PatchEmbed(patch_size, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid**2, dim))
        self.register_tokens = nn.Parameter(torch.zeros(1, registers, dim))
        if mask_token:  # in some checkpoints, never used
            self.mask_token = nn.Parameter(torch.zeros(1, dim), requires_grad=False)
        self.blocks = nn.ModuleList(
            Block(dim, heads, init_values=1.0, eps=1e-6, role="encoder") for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self._positions = TableCache()

    def resized_positions(self, height: int, width: int) -> Tensor:
        """Position embedding [1, 1 + height * width, dim] for a grid of that many patches.

        Resized by bicubic interpolation, antialiased.
        """
        if height == width == self.grid:
            return self.pos_embed
        table = self.pos_embed[:, 1:].float().unflatten(1, (self.grid, self.grid))
        table = F.interpolate(
            table.permute(0, 3, 1, 2),
            (height, width),
            mode="bicubic",
            antialias=True,
            align_corners=False,
        )
        patches = table.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :1], patches], 1)

    def positions(self, height: int, width: int) -> Tensor:
        """As :meth:`resized_positions`: [1, 1 + height * width, dim].

        While gradients are off it is computed once per size and parameter version.
        """
        learning = torch.is_grad_enabled() and self.pos_embed.requires_grad
        if learning or self.pos_embed.is_meta or self.pos_embed.is_inference():
            return self.resized_positions(height, width)
        table = self.pos_embed
        key = (height, width, table.dtype, table.data_ptr(), table._version)
        return self._positions.get(
            key, table.device, lambda: self.resized_positions(height, width).detach()
        )

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [N, 3, H, W] -> patch tokens [N, (H/p)(W/p), dim]."""
        _, _, h, w = map(int, images.shape)
        tokens = 1 + self.registers + h // self.patch_size * (w // self.patch_size)
        return in_chunks(self.encode, images, chunk_rows(tokens))

    def encode(self, images: Tensor) -> Tensor:
        """As :meth:`forward`: [N, (H/p)(W/p), dim] of ``images`` [N, 3, H, W], all at once."""
        n, _, h, w = map(int, images.shape)
        rows = h // self.patch_size
        columns = w // self.patch_size
        x = torch.cat([self.cls_token.expand(n, -1, -1), self.patch_embed(images)], 1)
        x = x + self.positions(rows, columns)
        x = torch.cat([x[:, :1], self.register_tokens.expand(n, -1, -1), x[:, 1:]], 1)
        layout = TokenLayout(n, 1, 1 + self.registers, rows, columns)
        for block in self.blocks:
            x = block(x, layout=layout)
        return self.norm(x[:, 1 + self.registers :])
