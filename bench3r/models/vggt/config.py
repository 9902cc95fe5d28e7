"""Sizes of a VGGT at every scale. Pure data: importing this imports no torch."""

from __future__ import annotations

from pydantic import Field

from bench3r.models.dpt_config import DPTConfig, Section

# DINOv2 patch embeds by name: (dim, depth, heads)
DINOV2_SIZES = {
    "dinov2_vits14_reg": (384, 12, 6),
    "dinov2_vitb14_reg": (768, 12, 12),
    "dinov2_vitl14_reg": (1024, 24, 16),
}


class AggregatorConfig(Section):
    """Patch embed and trunk.

    ``patch_embed`` names a DINOv2 size, or is "custom" with encoder_depth and encoder_heads.
    """

    img_size: int = 518
    patch_size: int = Field(14, gt=0)
    embed_dim: int = 1024
    depth: int = Field(24, gt=0)
    num_heads: int = 16
    mlp_ratio: float = 4.0
    num_register_tokens: int = Field(4, ge=0)
    patch_embed: str = "dinov2_vitl14_reg"
    encoder_depth: int = 24
    encoder_heads: int = 16
    qk_norm: bool = True
    rope_freq: float = 100.0  # 0 or less: no rotary position
    init_values: float | None = 0.01  # None: no scale per channel

    def encoder_size(self) -> tuple[int, int, int]:
        """Width, depth and heads of the patch embed.

        Raises ValueError for a name or width that does not fit.
        """
        if self.patch_embed == "custom":
            return self.embed_dim, self.encoder_depth, self.encoder_heads
        if self.patch_embed not in DINOV2_SIZES:
            known = ", ".join([*DINOV2_SIZES, "custom"])
            name = f"aggregator.patch_embed {self.patch_embed!r}"
            raise ValueError(f"{name} is unknown: expected one of {known}")
        size = DINOV2_SIZES[self.patch_embed]
        if size[0] != self.embed_dim:
            raise ValueError(
                f"{self.patch_embed} has width {size[0]}, aggregator.embed_dim is {self.embed_dim}"
            )
        return size


class CameraConfig(Section):
    """Camera head."""

    dim_in: int = 2048
    trunk_depth: int = 4
    num_heads: int = 16


class TrackConfig(Section):
    """Tracker.

    ``depth`` and ``virtual`` (attention blocks, virtual tracks) are fixed upstream at 6 and 64.
    """

    dim_in: int = 2048
    features: int = 128
    corr_levels: int = 7
    corr_radius: int = 4
    hidden_size: int = 384
    iters: int = 4
    depth: int = 6
    virtual: int = 64


class TrackDPTConfig(Section):
    """Feature extractor of the track head."""

    intermediate_layer_idx: tuple[int, int, int, int] = (4, 11, 17, 23)
    out_channels: tuple[int, int, int, int] = (256, 512, 1024, 1024)


class VGGTConfig(Section):
    """All sizes of a VGGT; the defaults are VGGT-1B.

    Keys are the official constructor arguments.
    """

    aggregator: AggregatorConfig = AggregatorConfig()
    camera: CameraConfig = CameraConfig()
    dpt: DPTConfig = DPTConfig()
    track: TrackConfig | None = TrackConfig()
    track_dpt: TrackDPTConfig = TrackDPTConfig()
    image_size: tuple[int, int] = (392, 518)  # (H, W) of a typical input at this scale

    @property
    def patch_size(self) -> int:
        """Pixels per patch side."""
        return self.aggregator.patch_size

    @property
    def pairs(self) -> int:
        """Frame/global pairs of the trunk."""
        return self.aggregator.depth

    @property
    def width(self) -> int:
        """Channels of a trunk token."""
        return self.aggregator.embed_dim

    @property
    def trunk_heads(self) -> int:
        """Heads of the trunk's attention."""
        return self.aggregator.num_heads

    @property
    def special(self) -> int:
        """Special tokens of a view in the trunk: camera and registers."""
        return 1 + self.aggregator.num_register_tokens

    @property
    def taps(self) -> tuple[int, ...]:
        """Pairs of the trunk that heads read."""
        return tuple(sorted({*self.dpt.intermediate_layer_idx, self.pairs - 1}))

    def check(self) -> None:
        """Raise ValueError when the parts do not fit together."""
        taps = list(self.dpt.intermediate_layer_idx)
        if self.track:
            taps += self.track_dpt.intermediate_layer_idx
        if max(taps) >= self.aggregator.depth:
            last = self.aggregator.depth - 1
            raise ValueError(f"heads tap pair {max(taps)}, but the trunk has pairs 0 to {last}")
        width = 2 * self.aggregator.embed_dim
        for name in ("camera", "dpt", "track"):
            part = getattr(self, name)
            if part is not None and part.dim_in != width:
                raise ValueError(
                    f"{name}.dim_in is {part.dim_in}, expected 2 x embed_dim = {width}"
                )


def _tiny() -> VGGTConfig:
    """96 x 96 images, 8-px patches (12 x 12 tokens), width 96, 4 pairs; trains on two CPU cores."""
    taps = (0, 1, 2, 3)
    aggregator = AggregatorConfig(
        img_size=96,
        patch_size=8,
        embed_dim=96,
        depth=4,
        num_heads=3,
        patch_embed="custom",
        encoder_depth=3,
        encoder_heads=3,
        init_values=0.1,
    )
    return VGGTConfig(
        aggregator=aggregator,
        camera=CameraConfig(dim_in=192, trunk_depth=2, num_heads=6),
        dpt=DPTConfig(
            dim_in=192, features=32, out_channels=(32, 32, 48, 64), intermediate_layer_idx=taps
        ),
        track=_tiny_track(),
        track_dpt=TrackDPTConfig(intermediate_layer_idx=taps, out_channels=(16, 16, 32, 32)),
        image_size=(72, 96),
    )


def _tiny_track() -> TrackConfig:
    return TrackConfig(
        dim_in=192,
        features=32,
        corr_levels=3,
        corr_radius=2,
        hidden_size=48,
        iters=2,
        depth=2,
        virtual=8,
    )


def _paper() -> VGGTConfig:
    """256 x 256 images, 16-px patches, width 768, 12 heads, 12 encoder blocks, 12 pairs.

    The setting of the SpatialMoR paper.
    """
    taps = (2, 5, 8, 11)
    return VGGTConfig(
        aggregator=AggregatorConfig(
            img_size=256,
            patch_size=16,
            embed_dim=768,
            depth=12,
            num_heads=12,
            patch_embed="custom",
            encoder_depth=12,
            encoder_heads=12,
        ),
        camera=CameraConfig(dim_in=1536, num_heads=12),
        dpt=DPTConfig(dim_in=1536, intermediate_layer_idx=taps),
        track=TrackConfig(dim_in=1536),
        track_dpt=TrackDPTConfig(intermediate_layer_idx=taps),
        image_size=(256, 256),
    )


VGGT_SCALES = {"tiny": _tiny, "paper": _paper, "full": VGGTConfig}
