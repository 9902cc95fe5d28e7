"""Sizes of DUSt3R and MASt3R at every scale. Pure data: importing this imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from pydantic import Field

from bench3r.models.dpt_config import Section


class PairDPTConfig(Section):
    """Dense head: width of the fusion path and of the four levels."""

    features: int = Field(256, gt=0)
    out_channels: tuple[int, int, int, int] = (96, 192, 384, 768)


class PairConfig(Section):
    """All sizes of a pair network; the defaults are DUSt3R 512 DPT (571.2 M parameters)."""

    patch_size: int = Field(16, gt=0)
    enc_embed_dim: int = 1024
    enc_depth: int = Field(24, gt=0)
    enc_num_heads: int = 16
    dec_embed_dim: int = 768
    dec_depth: int = Field(12, gt=0)
    dec_num_heads: int = 12
    mlp_ratio: float = 4.0
    rope_freq: float = 100.0
    head: Literal["dpt", "linear"] = "dpt"
    dpt: PairDPTConfig = PairDPTConfig()
    # channels of MASt3R's local features; 0: a DUSt3R
    descriptors: int = Field(0, ge=0)
    # hidden width of the local features' MLP over its input
    local_ratio: float = Field(4.0, gt=0)
    image_size: tuple[int, int] = (384, 512)  # (H, W) of a typical input at this scale

    @property
    def pairs(self) -> int:
        """Blocks of each decoder."""
        return self.dec_depth

    @property
    def read_outputs(self) -> tuple[int, int, int, int]:
        """Entries of the decoder's outputs that the dense head reads; 0 is the encoder's output."""
        return 0, self.dec_depth // 2, self.dec_depth * 3 // 4, self.dec_depth

    def check(self) -> None:
        """Raise ValueError when the parts do not fit together."""
        encoder = ("enc", self.enc_embed_dim, self.enc_num_heads)
        decoder = ("dec", self.dec_embed_dim, self.dec_num_heads)
        for side, dim, heads in (encoder, decoder):
            if dim % heads or (dim // heads) % 4:
                raise ValueError(
                    f"{side}_embed_dim {dim} must split into {heads} heads "
                    "of a multiple of 4 channels"
                )
        if len(set(self.read_outputs)) != 4 and self.head == "dpt":
            raise ValueError(
                f"dec_depth {self.dec_depth} is too short for a dense head "
                "that reads four different outputs"
            )
        if self.descriptors and self.head != "dpt":
            raise ValueError("local features need the dpt head")


def _tiny(descriptors: int = 0) -> PairConfig:
    """Sizes of the tiny VGGT: 96 x 96 images, 8-px patches, width 96."""
    return PairConfig(
        patch_size=8,
        enc_embed_dim=96,
        enc_depth=3,
        enc_num_heads=3,
        dec_embed_dim=96,
        dec_depth=4,
        dec_num_heads=3,
        dpt=PairDPTConfig(features=32, out_channels=(32, 32, 48, 64)),
        descriptors=descriptors,
        local_ratio=2.0,
        image_size=(72, 96),
    )


def _paper(descriptors: int = 0) -> PairConfig:
    """At SpatialMoR's setting: 256 x 256 images, width 768, 12 encoder and 12 decoder blocks."""
    return PairConfig(
        enc_embed_dim=768,
        enc_depth=12,
        enc_num_heads=12,
        descriptors=descriptors,
        image_size=(256, 256),
    )


DUST3R_SCALES: dict[str, Callable[[], PairConfig]] = {
    "tiny": _tiny,
    "paper": _paper,
    "full": PairConfig,
}
MAST3R_SCALES: dict[str, Callable[[], PairConfig]] = {
    "tiny": partial(_tiny, 24),
    "paper": partial(_paper, 24),
    "full": partial(PairConfig, descriptors=24),
}
# the other published checkpoints, all of them at full scale
DUST3R_VARIANTS: dict[str, Callable[[], PairConfig]] = {
    "512_linear": partial(PairConfig, head="linear"),
    "224_linear": partial(PairConfig, head="linear", image_size=(224, 224)),
}
