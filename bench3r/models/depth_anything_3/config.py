"""Sizes of a Depth-Anything-3 at every scale. Pure data: importing this imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bench3r.models.dpt_config import Section

ReferenceStrategy = Literal["saddle_balanced", "first", "middle"]

# DINOv2 by the names of the official configurations: (dim, depth, heads)
DINOV2_NAMES = {"vits": (384, 12, 6), "vitb": (768, 12, 12), "vitl": (1024, 24, 16)}


class DinoConfig(Section):
    """The backbone: a plain DINOv2 whose later blocks alternate between views and the scene."""

    img_size: int = 518
    patch_size: int = Field(14, gt=0)
    dim: int = 1024
    depth: int = 24
    heads: int = 16
    out_layers: tuple[int, int, int, int] = (11, 15, 19, 23)
    alt_start: int = 8  # from this block on: even ones attend inside a view, odd ones globally
    qknorm_start: int = 8
    rope_start: int = 8
    init_values: float = 1.0


class DualDPTConfig(Section):
    """Depth and ray head."""

    features: int = 256
    out_channels: tuple[int, int, int, int] = (256, 512, 1024, 1024)


class CameraEncoderConfig(Section):
    """Encoder of given poses."""

    depth: int = 4
    heads: int = 16


class DepthAnything3Config(Section):
    """All sizes of a Depth-Anything-3; the defaults are DA3-Large (410.9 M parameters)."""

    net: DinoConfig = DinoConfig()
    head: DualDPTConfig = DualDPTConfig()
    cam_enc: CameraEncoderConfig | None = CameraEncoderConfig()
    reference: ReferenceStrategy = (
        "saddle_balanced"  # how the reference of three or more views is chosen
    )
    image_size: tuple[int, int] = (378, 504)  # (H, W) of a typical input at this scale

    @property
    def patch_size(self) -> int:
        """Pixels per patch side."""
        return self.net.patch_size

    @property
    def pairs(self) -> int:
        """Frame/global pairs of the trunk."""
        return (self.net.depth - self.net.alt_start) // 2

    @property
    def width(self) -> int:
        """Channels of a trunk token."""
        return self.net.dim

    @property
    def trunk_heads(self) -> int:
        """Heads of the trunk's attention."""
        return self.net.heads

    @property
    def special(self) -> int:
        """Special tokens of a view in the trunk: the class token."""
        return 1

    @property
    def taps(self) -> tuple[int, ...]:
        """Pairs of the trunk that heads read."""
        return tuple(
            sorted({*((i - self.net.alt_start) // 2 for i in self.net.out_layers), self.pairs - 1})
        )

    def check(self) -> None:
        """Raise ValueError when the parts do not fit together."""
        net = self.net
        if net.alt_start % 2 or net.depth % 2:
            raise ValueError(
                f"alt_start {net.alt_start} and depth {net.depth} must be even: blocks alternate in pairs"
            )
        if not net.rope_start == net.qknorm_start == net.alt_start:
            raise ValueError(
                f"alt_start {net.alt_start}, rope_start {net.rope_start} and qknorm_start {net.qknorm_start} differ: "
                "expected the same block, as in every published configuration"
            )
        wrong = [i for i in net.out_layers if i % 2 == 0 or not net.alt_start <= i < net.depth]
        if wrong:
            raise ValueError(
                f"out_layers {wrong} are no global blocks: expected odd numbers from {net.alt_start + 1} to {net.depth - 1}"
            )


def da3(name: str, image_size: tuple[int, int] = (378, 504)) -> DepthAnything3Config:
    """The published sizes: "vits" (Small), "vitb" (Base), "vitl" (Large)."""
    dim, depth, heads = DINOV2_NAMES[name]
    start, outs = (8, (11, 15, 19, 23)) if depth == 24 else (4, (5, 7, 9, 11))
    channels = {
        "vits": (48, 96, 192, 384),
        "vitb": (96, 192, 384, 768),
        "vitl": (256, 512, 1024, 1024),
    }[name]
    net = DinoConfig(
        dim=dim,
        depth=depth,
        heads=heads,
        out_layers=outs,
        alt_start=start,
        qknorm_start=start,
        rope_start=start,
    )
    head = DualDPTConfig(
        features={"vits": 64, "vitb": 128, "vitl": 256}[name], out_channels=channels
    )
    return DepthAnything3Config(net=net, head=head, image_size=image_size)


def _tiny() -> DepthAnything3Config:
    """Sizes of the tiny VGGT: 96 x 96 images, 8-px patches, width 96, 4 blocks before 4 pairs; no pose input."""
    net = DinoConfig(
        img_size=96,
        patch_size=8,
        dim=96,
        depth=12,
        heads=3,
        out_layers=(5, 7, 9, 11),
        alt_start=4,
        qknorm_start=4,
        rope_start=4,
        init_values=0.1,
    )
    head = DualDPTConfig(features=32, out_channels=(32, 32, 48, 64))
    return DepthAnything3Config(net=net, head=head, cam_enc=None, image_size=(72, 96))


def _paper() -> DepthAnything3Config:
    """The sizes of VGGT's ``paper`` scale: 256 x 256 images, 16-px patches, width 768, 12 blocks before 12 pairs."""
    net = DinoConfig(
        img_size=256,
        patch_size=16,
        dim=768,
        depth=36,
        heads=12,
        out_layers=(17, 23, 29, 35),
        alt_start=12,
        qknorm_start=12,
        rope_start=12,
    )
    return DepthAnything3Config(
        net=net, cam_enc=CameraEncoderConfig(heads=12), image_size=(256, 256)
    )


def _full() -> DepthAnything3Config:
    return da3("vitl")


def _base() -> DepthAnything3Config:
    return da3("vitb")


def _small() -> DepthAnything3Config:
    return da3("vits")


DA3_SCALES = {
    "tiny": _tiny,
    "paper": _paper,
    "full": _full,
    "full_base": _base,
    "full_small": _small,
}
