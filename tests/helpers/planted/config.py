"""Sizes of the planted backbone."""

from __future__ import annotations

from bench3r.models.dpt_config import Section


class PlantedConfig(Section):
    """All of them."""

    image_size: tuple[int, int] = (48, 64)
    patch_size: int = 8
    width: int = 96
    heads: int = 3
    pairs: int = 4


SCALES = {"tiny": PlantedConfig}
