"""Backbone configurations by name and scale, without importing torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench3r.api.errors import Unsupported, unknown
from bench3r.models.depth_anything_3.config import DA3_SCALES
from bench3r.models.pair.config import DUST3R_SCALES, MAST3R_SCALES
from bench3r.models.pi3.config import PI3_SCALES
from bench3r.models.vggt.config import VGGT_SCALES

SCALES: dict[str, dict[str, Callable[[], Any]]] = {"vggt": VGGT_SCALES, "pi3": PI3_SCALES, "depth_anything_3": DA3_SCALES}
NETWORKS: dict[str, dict[str, Callable[[], Any]]] = {"dust3r": DUST3R_SCALES, "mast3r": MAST3R_SCALES}  # of whole models
HOOKS: dict[str, tuple[str, ...]] = dict.fromkeys(SCALES, ("schedule", "attention"))  # what a method may change in each
BACKBONE_LABELS = {
    "vggt": "VGGT", "pi3": "π³", "depth_anything_3": "Depth-Anything-3", "dust3r": "DUSt3R", "mast3r": "MASt3R",
}  # fmt: skip
NO_BACKBONE = "none"  # controls, and whole models without weights: they see what VGGT sees at the same scale


def scale_config(backbone: str, scale: str) -> Any:
    """The configuration of the backbone or whole network ``backbone`` at ``scale``.

    Raises Bench3RError or Unsupported for names without one.
    """
    backbone = "vggt" if backbone == NO_BACKBONE else backbone
    known = SCALES | NETWORKS
    if backbone not in known:
        raise unknown("backbone", backbone, known)
    if scale not in known[backbone]:
        raise Unsupported(f"{backbone} has no configuration for scale {scale!r} (it has {', '.join(known[backbone])})")
    return known[backbone][scale]()


def input_size(backbone: str, scale: str) -> tuple[int, int, int]:
    """Typical image height, image width and patch size of ``backbone`` at ``scale``, in pixels."""
    config = scale_config(backbone, scale)
    return (*config.image_size, config.patch_size)


def trunk_pairs(backbone: str, scale: str) -> int:
    """Frame/global pairs in the trunk of ``backbone`` at ``scale``."""
    return int(scale_config(backbone, scale).pairs)
