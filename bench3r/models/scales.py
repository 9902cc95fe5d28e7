"""Backbone configurations by name and scale, without importing torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench3r.errors import Unsupported, unknown
from bench3r.models.depth_anything_3_config import DA3_SCALES
from bench3r.models.pi3_config import PI3_SCALES
from bench3r.models.vggt_config import VGGT_SCALES

SCALES: dict[str, dict[str, Callable[[], Any]]] = {"vggt": VGGT_SCALES, "pi3": PI3_SCALES, "depth_anything_3": DA3_SCALES}
SEAMS: dict[str, tuple[str, ...]] = dict.fromkeys(SCALES, ("schedule", "attention"))  # what a method may change in each
BACKBONE_LABELS = {"vggt": "VGGT", "pi3": "π³", "depth_anything_3": "Depth-Anything-3"}  # as printed
NO_BACKBONE = "none"  # controls and whole models: they see what VGGT sees at the same scale


def scale_config(backbone: str, scale: str) -> Any:
    """The configuration of ``backbone`` at ``scale``. Raises Bench3RError or Unsupported for names without one."""
    backbone = "vggt" if backbone == NO_BACKBONE else backbone
    if backbone not in SCALES:
        raise unknown("backbone", backbone, SCALES)
    if scale not in SCALES[backbone]:
        raise Unsupported(f"{backbone} has no configuration for scale {scale!r} (it has {', '.join(SCALES[backbone])})")
    return SCALES[backbone][scale]()


def input_size(backbone: str, scale: str) -> tuple[int, int, int]:
    """Typical image height, image width and patch size of ``backbone`` at ``scale``, in pixels."""
    config = scale_config(backbone, scale)
    return (*config.image_size, config.patch_size)


def trunk_pairs(backbone: str, scale: str) -> int:
    """Frame/global pairs in the trunk of ``backbone`` at ``scale``."""
    return int(scale_config(backbone, scale).pairs)
