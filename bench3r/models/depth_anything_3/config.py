"""Sizes of a Depth-Anything-3 at every scale. Pure data: importing this imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bench3r.models.dpt_config import Section

ReferenceStrategy = Literal["saddle_balanced", "saddle_sim_range", "first", "middle"]


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
    qknorm_start: int = 8  # the first block with norms of queries and keys; -1: none
    rope_start: int = 8  # as alt_start, or -1: no rotary position
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
    # how the reference of three or more views is chosen
    reference: ReferenceStrategy = "saddle_balanced"
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
        return tuple(sorted({*self.depth_taps, self.pairs - 1}))

    @property
    def depth_taps(self) -> tuple[int, ...]:
        """Pairs of the trunk that the depth head reads, from coarse to fine."""
        return tuple((i - self.net.alt_start) // 2 for i in self.net.out_layers)

    def check(self) -> None:
        """Raise ValueError when the parts do not fit together."""
        net = self.net
        if net.alt_start % 2 or net.depth % 2:
            raise ValueError(
                f"alt_start {net.alt_start} and depth {net.depth} must be even: "
                "blocks alternate in pairs"
            )
        if net.rope_start not in (net.alt_start, -1):
            raise ValueError(
                f"rope_start {net.rope_start} differs from alt_start {net.alt_start}: "
                "expected the same block, as in every published configuration, or -1 for none"
            )
        allowed = range(net.alt_start + 1, net.depth, 2)
        wrong = [i for i in net.out_layers if i not in allowed]
        if wrong:
            raise ValueError(
                f"out_layers {wrong} are no global blocks: "
                f"expected odd numbers from {net.alt_start + 1} to {net.depth - 1}"
            )


HEADS = {
    "vits": DualDPTConfig(features=64, out_channels=(48, 96, 192, 384)),
    "vitb": DualDPTConfig(features=128, out_channels=(96, 192, 384, 768)),
    "vitl": DualDPTConfig(features=256, out_channels=(256, 512, 1024, 1024)),
}


def da3(name: str, image_size: tuple[int, int] = (378, 504)) -> DepthAnything3Config:
    """The published sizes: "vits" (Small), "vitb" (Base), "vitl" (Large)."""
    dim, depth, heads = DINOV2_NAMES[name]
    long = depth == 24
    start = 8 if long else 4
    net = DinoConfig(
        dim=dim,
        depth=depth,
        heads=heads,
        out_layers=(11, 15, 19, 23) if long else (5, 7, 9, 11),
        alt_start=start,
        qknorm_start=start,
        rope_start=start,
    )
    return DepthAnything3Config(net=net, head=HEADS[name], image_size=image_size)


def _tiny() -> DepthAnything3Config:
    """Sizes of the tiny VGGT: 96 x 96 images, 8-px patches, width 96, 4 blocks before 4 pairs.

    No pose input.
    """
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
    """256 x 256 images, 16-px patches, width 768, 12 blocks before 12 pairs, as VGGT's."""
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
