"""Starting one backbone's training from another's weights, where both have the same blocks.

The tiny π³ and Depth-Anything-3 have the widths of the tiny VGGT, so encoder, trunk and (for Depth-Anything-3) depth
head start from what VGGT has learned on the same scenes; the rest starts at random.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from bench3r.errors import Bench3RError

Renamer = tuple[tuple[str, str], ...]

TO_PI3: Renamer = (
    (r"aggregator\.patch_embed\.(?!mask_token)(.*)", r"encoder.\1"),
    (r"aggregator\.frame_blocks\.(\d+)\.(.*)", r"decoder.{2*n}.\2"),
    (r"aggregator\.global_blocks\.(\d+)\.(.*)", r"decoder.{2*n+1}.\2"),
)
TO_DA3: Renamer = (
    (r"aggregator\.patch_embed\.(patch_embed\..*|cls_token|pos_embed|blocks\..*)", r"model.backbone.pretrained.\1"),
    (r"aggregator\.frame_blocks\.(\d+)\.(.*)", r"model.backbone.pretrained.blocks.{2*n+a}.\2"),
    (r"aggregator\.global_blocks\.(\d+)\.(.*)", r"model.backbone.pretrained.blocks.{2*n+1+a}.\2"),
    (r"depth_head\.(.*)", r"model.head.\1"),
)


def renamed(name: str, rules: Renamer, first_pair: int) -> str | None:
    """The name of VGGT's parameter ``name`` in the other backbone, whose trunk starts at block ``first_pair``."""
    for pattern, target in rules:
        match = re.fullmatch(pattern, name)
        if match:
            place = {"{2*n}": 0, "{2*n+1}": 1, "{2*n+a}": first_pair, "{2*n+1+a}": first_pair + 1}
            out = match.expand(target)
            for mark, offset in place.items():
                if mark in out:
                    out = out.replace(mark, str(2 * int(match.group(1)) + offset))
            return out
    return None


def start_from_vggt(model: nn.Module, state: dict[str, Tensor]) -> int:
    """Load what fits of a VGGT's ``state`` into ``model`` (π³ or Depth-Anything-3); how many tensors it was.

    Raises Bench3RError when nothing fits.
    """
    own, name = model.state_dict(), getattr(model, "name", "")
    rules = {"pi3": TO_PI3, "depth_anything_3": TO_DA3}.get(name, ())
    first_pair = getattr(getattr(model, "trunk", None), "alt_start", 0)
    taken = {}
    for source, value in state.items():
        target = renamed(source, rules, first_pair)
        if target in own and own[target].shape == value.shape:
            taken[target] = value.to(own[target].dtype)
    camera, registers = state["aggregator.camera_token"][:, 1:], state["aggregator.register_token"][:, 1:]
    special = {"register_token": torch.cat([camera, registers], 2),
               "model.backbone.pretrained.camera_token": state["aggregator.camera_token"].squeeze(2)}  # fmt: skip
    taken |= {k: v.to(own[k].dtype) for k, v in special.items() if k in own and own[k].shape == v.shape}
    if not taken:
        raise Bench3RError(f"nothing of a VGGT's weights fits a {name or type(model).__name__}")
    model.load_state_dict({**own, **taken})
    return len(taken)
