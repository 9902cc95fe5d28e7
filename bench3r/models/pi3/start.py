"""A π³ whose training starts from VGGT's weights: encoder and trunk have the same blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench3r.models.renaming import rename_all

FROM_VGGT = (
    (r"aggregator\.patch_embed\.(?!mask_token)(.*)", r"encoder.\1"),
    (r"aggregator\.frame_blocks\.(\d+)\.(.*)", r"decoder.{2n+0}.\2"),
    (r"aggregator\.global_blocks\.(\d+)\.(.*)", r"decoder.{2n+1}.\2"),
)


def from_vggt(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """VGGT's tensors (any shapes) under π³'s names; all views get the tokens of later views."""
    camera = state["aggregator.camera_token"][:, 1:]
    registers = state["aggregator.register_token"][:, 1:]
    tokens = torch.cat([camera, registers], 2)  # [1, 1, special, C]
    return {**rename_all(state, FROM_VGGT), "register_token": tokens}
