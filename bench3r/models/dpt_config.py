"""Sizes of a DPT head. Pure data: importing this imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DPTConfig(Section):
    """A DPT head: its widths and the pairs that it reads.

    Widths of the input, of the fusion path and of its four levels.
    """

    dim_in: int = 2048
    features: int = 256
    out_channels: tuple[int, int, int, int] = (256, 512, 1024, 1024)
    intermediate_layer_idx: tuple[int, int, int, int] = (4, 11, 17, 23)
