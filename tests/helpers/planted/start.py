"""Training that starts from VGGT's trunk."""

from __future__ import annotations

from torch import Tensor, nn

from bench3r.models.renaming import rename_all

FROM_VGGT = ((r"aggregator\.((?:frame|global)_blocks\..*)", r"\1"),)


def from_vggt(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return rename_all(state, FROM_VGGT)
