"""Networks of DUSt3R (Wang et al. 2024) and MASt3R (Leroy et al. 2024), official names.

A ViT encodes every image once; two decoders with weights of their own look at a pair of encoded
images, each block attending to the other decoder's previous output; a head per view predicts a
point map in the first view's frame.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
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
Size = tuple[int, int]  # (H, W) in pixels


@dataclass
class PairOutput:
    """Predictions for E ordered pairs of images of one size.

    Points of both views are in the frame of the first.
    """

    points1: Tensor  # [E, H, W, 3]
    conf1: Tensor  # [E, H, W], above 1
    points2: Tensor  # [E, H2, W2, 3]
    conf2: Tensor  # [E, H2, W2]
    desc1: Tensor | None = None  # [E, H, W, D], of unit length
    desc2: Tensor | None = None
    desc_conf1: Tensor | None = None  # [E, H, W], above 1
    desc_conf2: Tensor | None = None
    extras: dict[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> PairOutput:
        """From the tensors by name, with the shapes of the fields, [E, ...]."""
        return cls(**tensors)  # type: ignore[arg-type]

    def tensors(self) -> dict[str, Tensor]:
        """The fields that hold tensors [E, ...], by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


class CrossAttention(nn.Module):
    """Attention of one view's tokens to the other view's.

    With a projection each for query, key and value.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projq = nn.Linear(dim, dim)
        self.projk = nn.Linear(dim, dim)
        self.projv = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)
        self.recording = False  # whether training looks at ...
        # ... the queries and keys [E, heads, P, d] of the last call
        self.seen: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor, y: Tensor, rope_x: Tensor, rope_y: Tensor) -> Tensor:
        """Tokens ``x`` [E, P, C] look at ``y`` [E, P2, C].

        Each side is rotated by its own positions.
        """
        heads = (self.heads, -1)
        q = self.projq(x).unflatten(-1, heads)
        k = self.projk(y).unflatten(-1, heads)
        v = self.projv(y).unflatten(-1, heads).transpose(1, 2)
        q = apply_rope(q, rope_x.to(q.dtype)).transpose(1, 2)
        k = apply_rope(k, rope_y.to(k.dtype)).transpose(1, 2)
        if self.recording:
            self.seen = (q, k)
        out = F.scaled_dot_product_attention(q, k.to(q.dtype), v.to(q.dtype))
        return self.proj(out.transpose(1, 2).flatten(2))


class DecoderBlock(TransformerBlock):
    """Self-attention, cross-attention to the other view, MLP; pre-norm, no scale per channel."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.norm3 = nn.LayerNorm(dim, eps=1e-6)
        self.norm_y = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, role="frame")
        self.cross_attn = CrossAttention(dim, heads)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor, y: Tensor, rope_x: Tensor, rope_y: Tensor) -> Tensor:
        """Tokens [E, P, C] of one view and [E, P2, C] of the other -> [E, P, C]."""
        x = x + self.attn(self.norm1(x), rope_x)
        x = x + self.cross_attn(self.norm2(x), self.norm_y(y), rope_x, rope_y)
        return x + self.mlp(self.norm3(x))


class PairDPT(nn.Module):
    """DPT head on four of the decoder's outputs, the first being the encoder's.

    No position embedding.
    """

    def __init__(self, config: PairConfig, channels: int = 4) -> None:
        super().__init__()
        width = config.dpt.features
        narrow = width // 2
        sizes = config.dpt.out_channels
        dims = (config.enc_embed_dim, *[config.dec_embed_dim] * 3)
        convs = [nn.Conv2d(d, c, 1) for d, c in zip(dims, sizes, strict=True)]
        up4 = nn.ConvTranspose2d(sizes[0], sizes[0], 4, 4)
        up2 = nn.ConvTranspose2d(sizes[1], sizes[1], 2, 2)
        down2 = nn.Conv2d(sizes[3], sizes[3], 3, 2, 1)
        self.act_postprocess = nn.ModuleList(
            [
                nn.Sequential(convs[0], up4),
                nn.Sequential(convs[1], up2),
                nn.Sequential(convs[2]),
                nn.Sequential(convs[3], down2),
            ]
        )
        self.scratch: Any = nn.Module()
        levels = [nn.Conv2d(c, width, 3, padding=1, bias=False) for c in sizes]
        # the official state dict holds them under two names
        for number, level in enumerate(levels, 1):
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
        maps = []
        for level, tokens in enumerate(outputs):
            x = self.act_postprocess[level](tokens.transpose(1, 2).unflatten(2, grid))
            maps.append(self.scratch.layer_rn[level](x))
        x = self._double(4, maps[3], None)
        x = x[..., : maps[2].shape[2], : maps[2].shape[3]]  # odd grids: one row too many
        for number in (3, 2, 1):
            x = self._double(number, x, maps[number - 1])
        return self.head[2:](resize(self.head[0](x), size))

    def _double(self, number: int, x: Tensor, lateral: Tensor | None) -> Tensor:
        size = (2 * int(x.shape[2]), 2 * int(x.shape[3]))
        return getattr(self.scratch, f"refinenet{number}")(x, lateral, size)


class DenseHead(nn.Module):
    """Points and confidence by DPT.

    For MASt3R also local features, from the first and the last output by an MLP.
    """

    def __init__(self, config: PairConfig) -> None:
        super().__init__()
        self.patch = config.patch_size
        self.read_outputs = config.read_outputs
        self.dpt = PairDPT(config)
        if config.descriptors:
            dim = config.enc_embed_dim + config.dec_embed_dim
            hidden = int(config.local_ratio * dim)
            self.head_local_features = Mlp(dim, hidden, (config.descriptors + 1) * self.patch**2)

    def forward(
        self, outputs: list[Tensor], grid: tuple[int, int], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor | None]:
        """Decoder outputs [E, P, C] -> raw points and confidence [E, 4, H, W].

        And raw features and confidence [E, D + 1, H, W], or None.
        """
        dense = self.dpt([outputs[i] for i in self.read_outputs], grid, size)
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
        """Decoder outputs [E, P, C] -> raw points and confidence [E, 4, H, W]."""
        raw = self.proj(outputs[-1]).transpose(1, 2).unflatten(2, grid)
        return F.pixel_shuffle(raw, self.patch), None


def points_and_confidence(raw: Tensor) -> tuple[Tensor, Tensor]:
    """[E, 4, H, W] -> points v / |v| (exp|v| - 1) [E, H, W, 3] and confidence [E, H, W].

    The confidence is 1 + exp(c).
    """
    v = raw[:, :3].permute(0, 2, 3, 1)
    length = v.norm(dim=-1, keepdim=True).clamp(min=1e-8)
    return v / length * length.expm1(), 1 + raw[:, 3].exp()


def descriptors_and_confidence(raw: Tensor) -> tuple[Tensor, Tensor]:
    """[E, D + 1, H, W] -> features of unit length [E, H, W, D], confidence [E, H, W].

    The confidence is 1 + exp(c).
    """
    v = raw[:, :-1].permute(0, 2, 3, 1)
    return v / v.norm(dim=-1, keepdim=True), 1 + raw[:, -1].exp()


class PatchEmbed(nn.Module):
    """Images to tokens by a convolution with the stride of a patch."""

    def __init__(self, patch: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, patch)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


def encoder_block(config: PairConfig) -> Block:
    """A block of the encoder; no scale per channel."""
    return Block(
        config.enc_embed_dim,
        config.enc_num_heads,
        config.mlp_ratio,
        init_values=None,
        eps=1e-6,
        role="encoder",
    )


def decoder(config: PairConfig) -> nn.ModuleList:
    """The blocks of one view's decoder."""
    blocks = nn.ModuleList()
    for _ in range(config.dec_depth):
        block = DecoderBlock(config.dec_embed_dim, config.dec_num_heads, config.mlp_ratio)
        blocks.append(block)
    return blocks


class PairNetwork(nn.Module):
    """DUSt3R (``config.descriptors`` 0) or MASt3R.

    ``trunk_dtype`` runs all but the heads under autocast.
    """

    trunk_dtype: torch.dtype | None = None

    def __init__(self, config: PairConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PairConfig()
        config.check()
        dim = config.enc_embed_dim
        width = config.dec_embed_dim
        # of CroCo's pre-training; in every checkpoint
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.patch_embed = PatchEmbed(config.patch_size, dim)
        self.enc_blocks = nn.ModuleList(encoder_block(config) for _ in range(config.enc_depth))
        self.enc_norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder_embed = nn.Linear(dim, width)
        self.dec_blocks = decoder(config)
        self.dec_blocks2 = decoder(config)
        self.dec_norm = nn.LayerNorm(width, eps=1e-6)
        head = DenseHead if config.head == "dpt" else LinearPointHead
        self.downstream_head1 = head(config)
        self.downstream_head2 = head(config)
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
        """The tensors of a checkpoint, of any shapes [...], under all names of this network.

        A tensor that the checkpoint holds under one of its two names gets the other; a second
        decoder that is missing starts as the first; CroCo's prediction head is left out.
        """
        out = {k: v for k, v in state.items() if not k.startswith("prediction_head.")}
        if not any(name.startswith("dec_blocks2.") for name in out):
            for name in list(out):
                if name.startswith("dec_blocks."):
                    out[name.replace("dec_blocks.", "dec_blocks2.")] = out[name]
        for view, level in itertools.product((1, 2), range(1, 5)):
            scratch = f"downstream_head{view}.dpt.scratch"
            first = f"{scratch}.layer{level}_rn.weight"
            second = f"{scratch}.layer_rn.{level - 1}.weight"
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
            columns = torch.arange(grid[1]).repeat(grid[0])
            positions = torch.stack([rows, columns], 1)
            return rope_rows(positions, head_dim, self.config.rope_freq)

        return self._ropes.get((*grid, head_dim), device, make)

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Patches down and across an image of ``size`` (H, W).

        Raises ValueError unless they are multiples of the patch.
        """
        p = self.config.patch_size
        if size[0] % p or size[1] % p:
            raise ValueError(f"image sides must be multiples of {p}, got {size[0]} x {size[1]}")
        return size[0] // p, size[1] // p

    def encode(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [0, 1] -> tokens [N, P, C].

        Raises ValueError for images of another shape.
        """
        if images.dim() != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be [N, 3, H, W], got {tuple(images.shape)}")
        grid = self.grid((int(images.shape[2]), int(images.shape[3])))
        head_dim = self.config.enc_embed_dim // self.config.enc_num_heads
        rope = self.rope(grid, head_dim, images.device)
        with self.autocast(images.device):
            x = self.patch_embed(2 * images - 1)
            for block in self.enc_blocks:
                x = block(x, rope, TokenLayout(len(x), 1, 0, *grid))
            return self.enc_norm(x)

    def run_decoders(
        self, tokens1: Tensor, tokens2: Tensor, sizes: tuple[tuple[int, int], tuple[int, int]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Encoded views [E, P, C] and [E, P2, C] -> the outputs of both decoders.

        Each begins with the encoder's output; the last one is normed.
        """
        head_dim = self.config.dec_embed_dim // self.config.dec_num_heads
        rope1 = self.rope(self.grid(sizes[0]), head_dim, tokens1.device)
        rope2 = self.rope(self.grid(sizes[1]), head_dim, tokens1.device)
        with self.autocast(tokens1.device):
            x = self.decoder_embed(tokens1)
            y = self.decoder_embed(tokens2)
            out1 = [tokens1]
            out2 = [tokens2]
            for block1, block2 in zip(self.dec_blocks, self.dec_blocks2, strict=True):
                x, y = block1(x, y, rope1, rope2), block2(y, x, rope2, rope1)
                out1.append(x)
                out2.append(y)
            out1[-1] = self.dec_norm(x)
            out2[-1] = self.dec_norm(y)
        return [t.float() for t in out1], [t.float() for t in out2]

    def decode(
        self, tokens1: Tensor, tokens2: Tensor, sizes: tuple[tuple[int, int], tuple[int, int]]
    ) -> PairOutput:
        """Encoded views [E, P, C] and [E, P2, C] of images of ``sizes`` -> predictions [E, ...]."""
        outputs = self.run_decoders(tokens1, tokens2, sizes)
        heads = (self.downstream_head1, self.downstream_head2)
        found: dict[str, Tensor] = {}
        for view in (1, 2):
            size = sizes[view - 1]
            dense, local = heads[view - 1](outputs[view - 1], self.grid(size), size)
            found[f"points{view}"], found[f"conf{view}"] = points_and_confidence(dense)
            if local is not None:
                features, confidence = descriptors_and_confidence(local)
                found[f"desc{view}"] = features
                found[f"desc_conf{view}"] = confidence
        return PairOutput.of(found)

    def pair_chunk(self, device: torch.device) -> int:
        """Pairs per pass through decoders and heads."""
        return 2 if device.type == "cpu" and not torch.is_grad_enabled() else 16

    def forward(self, images: Sequence[Tensor] | Tensor, edges: Sequence[Edge]) -> list[PairOutput]:
        """Predictions for ordered pairs ``edges`` of ``images``, each [3, H, W] in [0, 1].

        In the order of the edges. Every image is encoded once, images of one size together; pairs
        of the same two sizes are decoded together.
        """
        sizes = [(int(i.shape[-2]), int(i.shape[-1])) for i in images]
        tokens = self._encode_all(images, sizes)
        groups: dict[tuple[Size, Size], list[int]] = defaultdict(list)
        for number, (i, j) in enumerate(edges):
            groups[sizes[i], sizes[j]].append(number)
        out: dict[int, PairOutput] = {}
        for both, numbers in groups.items():
            for part in chunks(numbers, self.pair_chunk(images[0].device)):
                first = torch.stack([tokens[edges[n][0]] for n in part])
                second = torch.stack([tokens[edges[n][1]] for n in part])
                result = self.decode(first, second, both).tensors()
                for place, number in enumerate(part):
                    one = {name: tensor[place] for name, tensor in result.items()}
                    out[number] = PairOutput.of(one)
        return [out[n] for n in range(len(edges))]

    def _encode_all(self, images: Sequence[Tensor] | Tensor, sizes: Sequence[Size]) -> list[Tensor]:
        """Tokens [P, C] of every image, those of one size together."""
        tokens: list[Tensor] = [torch.empty(0)] * len(sizes)
        for size in dict.fromkeys(sizes):
            where = [i for i, s in enumerate(sizes) if s == size]
            for chosen in chunks(where, self.pair_chunk(images[0].device)):
                encoded = self.encode(torch.stack([images[i] for i in chosen]))
                for place, i in enumerate(chosen):
                    tokens[i] = encoded[place]
        return tokens


def chunks(numbers: Sequence[int], count: int) -> Iterator[Sequence[int]]:
    """``numbers`` in runs of at most ``count``."""
    for start in range(0, len(numbers), count):
        yield numbers[start : start + count]


class PairPass(nn.Module):
    """The network on all ``edges`` of a scene as one function of the images.

    That is what counters and timers take.
    """

    def __init__(self, network: PairNetwork, edges: Sequence[Edge]) -> None:
        super().__init__()
        self.network, self.edges = network, list(edges)

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """As the network's, seen from here."""
        found = {}
        for part, modules in self.network.parts.items():
            found[part] = tuple(f"network.{name}" for name in modules)
        return found

    def forward(self, images: Tensor) -> PairOutput:
        """Images [1, S, 3, H, W] -> predictions [E, ...] of all edges, stacked."""
        tensors: dict[str, list[Tensor]] = defaultdict(list)
        for output in self.network(images[0], self.edges):
            for name, tensor in output.tensors().items():
                tensors[name].append(tensor)
        return PairOutput.of({name: torch.stack(each) for name, each in tensors.items()})


build = PairNetwork  # what the catalogue makes of a configuration
