"""Sizes of a π³ at every scale. Pure data: importing this imports no torch."""

from __future__ import annotations

from pydantic import Field

from bench3r.models.dpt_config import Section


class EncoderConfig(Section):
    """DINOv2 patch embed."""

    img_size: int = 518
    patch_size: int = Field(14, gt=0)
    dim: int = 1024
    depth: int = 24
    heads: int = 16


class HeadConfig(Section):
    """A frame-wise transformer decoder of a head."""

    dim: int = 1024
    heads: int = 16
    depth: int = 5


class Pi3Config(Section):
    """All sizes of a π³; the defaults are the published model's (958.7 M parameters)."""

    encoder: EncoderConfig = EncoderConfig()
    # decoder blocks: even ones attend inside a view, odd ones globally
    depth: int = Field(36, gt=0)
    heads: int = 16
    registers: int = Field(5, ge=0)
    rope_freq: float = 100.0
    init_values: float = 0.01
    head: HeadConfig = HeadConfig()
    head_out: int = 1024
    camera_dim: int = 512
    image_size: tuple[int, int] = (392, 518)  # (H, W) of a typical input at this scale

    @property
    def patch_size(self) -> int:
        """Pixels per patch side."""
        return self.encoder.patch_size

    @property
    def pairs(self) -> int:
        """Frame/global pairs of the trunk."""
        return self.depth // 2

    @property
    def width(self) -> int:
        """Channels of a trunk token."""
        return self.encoder.dim

    @property
    def trunk_heads(self) -> int:
        """Heads of the trunk's attention."""
        return self.heads

    @property
    def special(self) -> int:
        """Special tokens of a view in the trunk: registers."""
        return self.registers

    @property
    def taps(self) -> tuple[int, ...]:
        """Pairs of the trunk that heads read."""
        return (self.pairs - 1,)

    def check(self) -> None:
        """Raise ValueError when the parts do not fit together."""
        if self.depth % 2:
            raise ValueError(
                f"depth is {self.depth}: a pi3 decoder has pairs of a frame and a global block, "
                "an even number"
            )


def _tiny() -> Pi3Config:
    """Sizes of the tiny VGGT: 96 x 96 images, 8-px patches, width 96, 4 pairs."""
    return Pi3Config(
        encoder=EncoderConfig(img_size=96, patch_size=8, dim=96, depth=3, heads=3),
        depth=8,
        heads=3,
        registers=5,
        init_values=0.1,
        head=HeadConfig(dim=96, heads=3, depth=2),
        head_out=96,
        camera_dim=96,
        image_size=(72, 96),
    )


def _paper() -> Pi3Config:
    """256 x 256 images, 16-px patches, width 768, 12 encoder blocks, 12 pairs, as VGGT's."""
    return Pi3Config(
        encoder=EncoderConfig(img_size=256, patch_size=16, dim=768, depth=12, heads=12),
        depth=24,
        heads=12,
        head=HeadConfig(dim=768, heads=12),
        head_out=768,
        camera_dim=384,
        image_size=(256, 256),
    )


PI3_SCALES = {"tiny": _tiny, "paper": _paper, "full": Pi3Config}
