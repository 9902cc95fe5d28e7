"""A Depth-Anything-3 whose training starts from VGGT's encoder, trunk and depth head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bench3r.models.renaming import Renaming, rename_all

if TYPE_CHECKING:
    from bench3r.models.depth_anything_3.network import DepthAnything3

ROOT = "model.backbone.pretrained"


def rules(first: int) -> Renaming:
    """Names for a trunk that starts at block ``first``."""
    embed = r"(patch_embed\..*|cls_token|pos_embed|blocks\..*)"
    frame = f"{ROOT}.blocks.{{2n+{first}}}"
    joint = f"{ROOT}.blocks.{{2n+{first + 1}}}"
    return (
        (rf"aggregator\.patch_embed\.{embed}", rf"{ROOT}.\1"),
        (r"aggregator\.frame_blocks\.(\d+)\.(.*)", rf"{frame}.\2"),
        (r"aggregator\.global_blocks\.(\d+)\.(.*)", rf"{joint}.\2"),
        (r"depth_head\.(.*)", r"model.head.\1"),
    )


def from_vggt(model: DepthAnything3, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """VGGT's tensors (any shapes) under the names of a Depth-Anything-3."""
    camera = state["aggregator.camera_token"].squeeze(2)  # [1, 2, C]
    return {**rename_all(state, rules(model.trunk.alt_start)), f"{ROOT}.camera_token": camera}


@torch.no_grad()
def adapt(model: DepthAnything3, images: Tensor) -> float:
    """Scale the encoder so that its tokens enter the trunk as large as a norm would leave them.

    VGGT norms them there, this model does not, and blocks taken from VGGT would add too little to
    tokens several times larger. The blocks are pre-norm, so scaling whatever is added to the stream
    scales the stream and changes nothing else. ``images`` [B, S, 3, H, W] are examples; returns the
    factor.
    """
    trunk = model.trunk
    tokens, _ = trunk.local((images.flatten(0, 1) - model.image_mean) / model.image_std)
    factor = 1 / float(tokens[:, 1:].std(-1).mean())
    added = [trunk.cls_token, trunk.pos_embed, *trunk.patch_embed.parameters()]
    for block in trunk.blocks[: trunk.alt_start]:
        added += [p for name, p in block.named_parameters() if name.endswith(".gamma")]
    for parameter in added:
        parameter.mul_(factor)
    return factor
