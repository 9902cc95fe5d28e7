"""DUSt3R and MASt3R networks (Wang et al. 2024; Leroy et al. 2024) with the official parameter names.

A ViT encodes every image once; two decoders with weights of their own look at a pair of encoded images, each block
attending to the other decoder's previous output; a head per view predicts a point map in the first view's frame.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench3r.models.dpt import FusionBlock, resize
from bench3r.models.layers import (
    Attention,
    Block,
    Mlp,
    TableCache,
    TokenLayout,
    TransformerBlock,
    apply_rope,
    rope_rows,
)
from bench3r.models.pair.config import PairConfig

Edge = tuple[int, int]


@dataclass
class PairOutput:
    """Predictions for E ordered pairs of images of one size: points of both views in the frame of the first."""

    points1: Tensor  # [E, H, W, 3]
    conf1: Tensor  # [E, H, W], above 1
    points2: Tensor  # [E, H2, W2, 3]
    conf2: Tensor  # [E, H2, W2]
    desc1: Tensor | None = None  # [E, H, W, D], of unit length
    desc2: Tensor | None = None
    desc_conf1: Tensor | None = None  # [E, H, W], above 1
    desc_conf2: Tensor | None = None
    extras: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, tensors: dict[str, Any]) -> PairOutput:
        """From the tensors by name."""
        return cls(**tensors)

    def tensors(self) -> dict[str, Tensor]:
        """The fields that hold tensors, by name."""
        return {f.name: v for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)}


class CrossAttention(nn.Module):
    """Attention of one view's tokens to the other view's, with a projection each for query, key and value."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projq, self.projk, self.projv, self.proj = (nn.Linear(dim, dim) for _ in range(4))
        self.recording = False  # whether training wants to see ...
        self.seen: tuple[Tensor, Tensor] | None = (
            None  # ... the queries and keys [E, heads, P, d] of the last call
        )

    def forward(self, x: Tensor, y: Tensor, rope_x: Tensor, rope_y: Tensor) -> Tensor:
        """Tokens ``x`` [E, P, C] look at ``y`` [E, P2, C]; each side is rotated by its own positions."""
        q, k, v = (
            p(t).unflatten(-1, (self.heads, -1))
            for p, t in ((self.projq, x), (self.projk, y), (self.projv, y))
        )
        q, k = apply_rope(q, rope_x.to(q.dtype)), apply_rope(k, rope_y.to(k.dtype))
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if self.recording:
            self.seen = (q, k)
        out = F.scaled_dot_product_attention(q, k.to(q.dtype), v.to(q.dtype))
        return self.proj(out.transpose(1, 2).flatten(2))


class DecoderBlock(TransformerBlock):
    """Self-attention, cross-attention to the other view, MLP; pre-norm, no scale per channel."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3, self.norm_y = (
            nn.LayerNorm(dim, eps=1e-6) for _ in range(4)
        )
        self.attn = Attention(dim, heads, role="frame")
        self.cross_attn = CrossAttention(dim, heads)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor, y: Tensor, rope_x: Tensor, rope_y: Tensor) -> Tensor:
        """Tokens [E, P, C] of one view and [E, P2, C] of the other -> [E, P, C]."""
        x = x + self.attn(self.norm1(x), rope_x)
        x = x + self.cross_attn(self.norm2(x), self.norm_y(y), rope_x, rope_y)
        return x + self.mlp(self.norm3(x))


class PairDPT(nn.Module):
    """DPT head on four of the decoder's outputs, the first being the encoder's; no position embedding."""

    def __init__(self, config: PairConfig, channels: int = 4) -> None:
        super().__init__()
        width, sizes, narrow = (
            config.dpt.features,
            config.dpt.out_channels,
            config.dpt.features // 2,
        )
        dims = (config.enc_embed_dim, *[config.dec_embed_dim] * 3)
        convs = [nn.Conv2d(d, c, 1) for d, c in zip(dims, sizes, strict=True)]
        self.act_postprocess = nn.ModuleList(
            [
                nn.Sequential(convs[0], nn.ConvTranspose2d(sizes[0], sizes[0], 4, 4)),
                nn.Sequential(convs[1], nn.ConvTranspose2d(sizes[1], sizes[1], 2, 2)),
                nn.Sequential(convs[2]),
                nn.Sequential(convs[3], nn.Conv2d(sizes[3], sizes[3], 3, 2, 1)),
            ]
        )
        self.scratch: Any = nn.Module()
        levels = [nn.Conv2d(c, width, 3, padding=1, bias=False) for c in sizes]
        for number, level in enumerate(
            levels, 1
        ):  # the official state dict holds them under two names
            setattr(self.scratch, f"layer{number}_rn", level)
        self.scratch.layer_rn = nn.ModuleList(levels)
        for number in range(1, 5):
            setattr(self.scratch, f"refinenet{number}", FusionBlock(width, in_place_relu=False))
        self.head = nn.Sequential(
            nn.Conv2d(width, narrow, 3, padding=1),
            nn.Identity(),
            nn.Conv2d(narrow, narrow, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(narrow, channels, 1),
        )

    def forward(
        self, outputs: Sequence[Tensor], grid: tuple[int, int], size: tuple[int, int]
    ) -> Tensor:
        """Four token sequences [E, P, C] on a ``grid`` -> map [E, channels, *size]."""
        maps = [
            level(process(tokens.transpose(1, 2).unflatten(2, grid)))
            for tokens, process, level in zip(
                outputs, self.act_postprocess, self.scratch.layer_rn, strict=True
            )
        ]
        x = self._double(4, maps[3], None)[
            ..., : maps[2].shape[2], : maps[2].shape[3]
        ]  # odd grids: one row too many
        for number in (3, 2, 1):
            x = self._double(number, x, maps[number - 1])
        return self.head[2:](resize(self.head[0](x), size))

    def _double(self, number: int, x: Tensor, lateral: Tensor | None) -> Tensor:
        return getattr(self.scratch, f"refinenet{number}")(
            x, lateral, (2 * int(x.shape[2]), 2 * int(x.shape[3]))
        )


class DenseHead(nn.Module):
    """Points and confidence by DPT; for MASt3R also local features from first and last output by an MLP."""

    def __init__(self, config: PairConfig) -> None:
        super().__init__()
        self.patch, self.hooks = config.patch_size, config.hooks
        self.dpt = PairDPT(config)
        if config.descriptors:
            dim = config.enc_embed_dim + config.dec_embed_dim
            self.head_local_features = Mlp(
                dim, int(config.local_ratio * dim), (config.descriptors + 1) * config.patch_size**2
            )

    def forward(
        self, outputs: list[Tensor], grid: tuple[int, int], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor | None]:
        """Decoder outputs -> raw points and confidence [E, 4, H, W], raw features and confidence [E, D + 1, H, W]."""
        dense = self.dpt([outputs[i] for i in self.hooks], grid, size)
        if not hasattr(self, "head_local_features"):
            return dense, None
        local = self.head_local_features(torch.cat([outputs[0], outputs[-1]], -1))
        return dense, F.pixel_shuffle(local.transpose(1, 2).unflatten(2, grid), self.patch)


class LinearPointHead(nn.Module):
    """Points and confidence by one linear layer on the last output."""

    def __init__(self, config: PairConfig) -> None:
        super().__init__()
        self.patch = config.patch_size
        self.proj = nn.Linear(config.dec_embed_dim, 4 * config.patch_size**2)

    def forward(
        self, outputs: list[Tensor], grid: tuple[int, int], size: tuple[int, int]
    ) -> tuple[Tensor, None]:
        """Decoder outputs -> raw points and confidence [E, 4, H, W]."""
        return F.pixel_shuffle(
            self.proj(outputs[-1]).transpose(1, 2).unflatten(2, grid), self.patch
        ), None


def points_and_confidence(raw: Tensor) -> tuple[Tensor, Tensor]:
    """[E, 4, H, W] -> points v / |v| (exp|v| - 1) [E, H, W, 3] and confidence 1 + exp(c) [E, H, W]."""
    v = raw[:, :3].permute(0, 2, 3, 1)
    length = v.norm(dim=-1, keepdim=True).clamp(min=1e-8)
    return v / length * length.expm1(), 1 + raw[:, 3].exp()


def descriptors_and_confidence(raw: Tensor) -> tuple[Tensor, Tensor]:
    """[E, D + 1, H, W] -> features of unit length [E, H, W, D] and their confidence 1 + exp(c) [E, H, W]."""
    v = raw[:, :-1].permute(0, 2, 3, 1)
    return v / v.norm(dim=-1, keepdim=True), 1 + raw[:, -1].exp()


class PatchEmbed(nn.Module):
    """Images to tokens by a convolution with the stride of a patch."""

    def __init__(self, patch: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, patch)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


class PairNetwork(nn.Module):
    """DUSt3R (``config.descriptors`` 0) or MASt3R. ``trunk_dtype`` runs all but the heads under autocast."""

    trunk_dtype: torch.dtype | None = None

    def __init__(self, config: PairConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PairConfig()
        config.check()
        dim, width = config.enc_embed_dim, config.dec_embed_dim
        self.mask_token = nn.Parameter(
            torch.zeros(1, 1, width)
        )  # of CroCo's pre-training; in every checkpoint
        self.patch_embed = PatchEmbed(config.patch_size, dim)
        self.enc_blocks = nn.ModuleList(
            Block(
                dim,
                config.enc_num_heads,
                config.mlp_ratio,
                init_values=None,
                eps=1e-6,
                role="encoder",
            )
            for _ in range(config.enc_depth)
        )
        self.enc_norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder_embed = nn.Linear(dim, width)
        self.dec_blocks, self.dec_blocks2 = (
            nn.ModuleList(
                DecoderBlock(width, config.dec_num_heads, config.mlp_ratio)
                for _ in range(config.dec_depth)
            )
            for _ in range(2)
        )
        self.dec_norm = nn.LayerNorm(width, eps=1e-6)
        head = DenseHead if config.head == "dpt" else LinearPointHead
        self.downstream_head1, self.downstream_head2 = head(config), head(config)
        self._ropes = TableCache()

    @property
    def name(self) -> str:
        """The name of the weights it takes."""
        return "mast3r" if self.config.descriptors else "dust3r"

    def training_blocks(self) -> list[nn.Module]:
        """The blocks of the encoder and of both decoders."""
        return [*self.enc_blocks, *self.dec_blocks, *self.dec_blocks2]

    def modules_without_loss(self, weights: Mapping[str, float]) -> list[nn.Module]:
        """Every module is trained."""
        return []

    def follow_training(self, progress: float, transition: float) -> None:
        """The network is the same from the first step to the last."""

    def complete_state(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a checkpoint under all names that this network has.

        A tensor that the checkpoint holds under one of its two names gets the other; a second decoder that is missing
        starts as the first; CroCo's prediction head is left out.
        """
        out = {k: v for k, v in state.items() if not k.startswith("prediction_head.")}
        if not any(k.startswith("dec_blocks2.") for k in out):
            out |= {
                k.replace("dec_blocks.", "dec_blocks2."): v
                for k, v in out.items()
                if k.startswith("dec_blocks.")
            }
        for view, level in itertools.product((1, 2), range(1, 5)):
            scratch = f"downstream_head{view}.dpt.scratch"
            first, second = (
                f"{scratch}.layer{level}_rn.weight",
                f"{scratch}.layer_rn.{level - 1}.weight",
            )
            for have, lack in ((first, second), (second, first)):
                if have in out and lack not in out:
                    out[lack] = out[have]
        return out

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """What the model is made of: part -> names of its modules."""
        return {
            "patch_embed": ("patch_embed",),
            "encoder": ("enc_blocks", "enc_norm"),
            "decoders": ("decoder_embed", "dec_blocks", "dec_blocks2", "dec_norm"),
            "point_head": ("downstream_head1", "downstream_head2"),
        }

    def autocast(self, device: torch.device) -> Any:
        """The precision of encoder and decoders."""
        half = self.trunk_dtype not in (None, torch.float32)
        return torch.autocast(device.type, self.trunk_dtype, enabled=half)

    def rope(self, grid: tuple[int, int], head_dim: int, device: torch.device) -> Tensor:
        """Rotary tables [2, P, 1, head_dim]; patch (r, c) sits at (r, c)."""

        def make() -> Tensor:
            rows = torch.arange(grid[0]).repeat_interleave(grid[1])
            return rope_rows(
                torch.stack([rows, torch.arange(grid[1]).repeat(grid[0])], 1),
                head_dim,
                self.config.rope_freq,
            )

        return self._ropes.get((*grid, head_dim), device, make)

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Patches down and across an image of ``size`` (H, W). Raises ValueError unless they are multiples of the patch."""
        p = self.config.patch_size
        if size[0] % p or size[1] % p:
            raise ValueError(f"image sides must be multiples of {p}, got {size[0]} x {size[1]}")
        return size[0] // p, size[1] // p

    def encode(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [0, 1] -> tokens [N, P, C]."""
        if images.dim() != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be [N, 3, H, W], got {tuple(images.shape)}")
        size = (int(images.shape[2]), int(images.shape[3]))
        rope = self.rope(
            self.grid(size), self.config.enc_embed_dim // self.config.enc_num_heads, images.device
        )
        with self.autocast(images.device):
            x = self.patch_embed(2 * images - 1)
            for block in self.enc_blocks:
                x = block(x, rope, TokenLayout(len(x), 1, 0, *self.grid(size)))
            return self.enc_norm(x)

    def run_decoders(
        self, tokens1: Tensor, tokens2: Tensor, sizes: tuple[tuple[int, int], tuple[int, int]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Encoded views [E, P, C] and [E, P2, C] -> both decoders' outputs, the encoder's first, the last one normed."""
        head_dim = self.config.dec_embed_dim // self.config.dec_num_heads
        rope1, rope2 = (self.rope(self.grid(s), head_dim, tokens1.device) for s in sizes)
        with self.autocast(tokens1.device):
            x, y = self.decoder_embed(tokens1), self.decoder_embed(tokens2)
            out1, out2 = [tokens1], [tokens2]
            for block1, block2 in zip(self.dec_blocks, self.dec_blocks2, strict=True):
                x, y = block1(x, y, rope1, rope2), block2(y, x, rope2, rope1)
                out1.append(x)
                out2.append(y)
            out1[-1], out2[-1] = self.dec_norm(x), self.dec_norm(y)
        return [t.float() for t in out1], [t.float() for t in out2]

    def decode(
        self, tokens1: Tensor, tokens2: Tensor, sizes: tuple[tuple[int, int], tuple[int, int]]
    ) -> PairOutput:
        """Encoded views [E, P, C] and [E, P2, C] of images of ``sizes`` -> predictions."""
        found: list[Tensor | None] = []
        for head, outputs, size in zip(
            (self.downstream_head1, self.downstream_head2),
            self.run_decoders(tokens1, tokens2, sizes),
            sizes,
            strict=True,
        ):
            dense, local = head(outputs, self.grid(size), size)
            desc = descriptors_and_confidence(local) if local is not None else (None, None)
            found += [*points_and_confidence(dense), *desc]
        points1, conf1, desc1, q1, points2, conf2, desc2, q2 = found
        named = {
            "points1": points1,
            "conf1": conf1,
            "points2": points2,
            "conf2": conf2,
            "desc1": desc1,
            "desc2": desc2,
            "desc_conf1": q1,
            "desc_conf2": q2,
        }
        return PairOutput.of(named)

    def pair_chunk(self, device: torch.device) -> int:
        """Pairs per pass through decoders and heads."""
        return 2 if device.type == "cpu" and not torch.is_grad_enabled() else 16

    def forward(self, images: Sequence[Tensor] | Tensor, edges: Sequence[Edge]) -> list[PairOutput]:
        """Predictions for ordered pairs ``edges`` of ``images``, each [3, H, W] in [0, 1], in the order of the edges.

        Every image is encoded once, images of one size together; pairs of the same two sizes are decoded together.
        """
        sizes = [(int(i.shape[-2]), int(i.shape[-1])) for i in images]
        tokens: list[Tensor] = [torch.empty(0)] * len(sizes)
        for size in dict.fromkeys(sizes):
            where = [i for i, s in enumerate(sizes) if s == size]
            for start in range(0, len(where), self.pair_chunk(images[0].device)):
                chosen = where[start : start + self.pair_chunk(images[0].device)]
                for i, t in zip(
                    chosen,
                    self.encode(torch.stack([images[i] for i in chosen])).unbind(),
                    strict=True,
                ):
                    tokens[i] = t
        groups: dict[Any, list[int]] = defaultdict(list)
        for number, (i, j) in enumerate(edges):
            groups[sizes[i], sizes[j]].append(number)
        out: dict[int, PairOutput] = {}
        for both, numbers in groups.items():
            for start in range(0, len(numbers), self.pair_chunk(images[0].device)):
                part = numbers[start : start + self.pair_chunk(images[0].device)]
                first, second = (
                    torch.stack([tokens[edges[n][side]] for n in part]) for side in (0, 1)
                )
                result = self.decode(first, second, both).tensors()
                out |= {
                    n: PairOutput.of({k: v[i] for k, v in result.items()})
                    for i, n in enumerate(part)
                }
        return [out[n] for n in range(len(edges))]


class PairPass(nn.Module):
    """The network on all ``edges`` of a scene as one function of the images, as counters and timers want it."""

    def __init__(self, network: PairNetwork, edges: Sequence[Edge]) -> None:
        super().__init__()
        self.network, self.edges = network, list(edges)

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """As the network's, seen from here."""
        return {
            part: tuple(f"network.{m}" for m in modules)
            for part, modules in self.network.parts.items()
        }

    def forward(self, images: Tensor) -> PairOutput:
        """Images [1, S, 3, H, W] -> predictions of all edges, stacked."""
        found = [p.tensors() for p in self.network(images[0], self.edges)]
        return PairOutput.of({k: torch.stack([f[k] for f in found]) for k in found[0]})


build = PairNetwork  # what the catalogue makes of a configuration
