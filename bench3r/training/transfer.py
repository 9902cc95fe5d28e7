"""Starting one network's training from another's weights, where both have the same blocks.

The tiny networks have the widths of the tiny VGGT, so encoder, trunk and (where it fits) dense head start from what
VGGT has learned on the same scenes; the rest starts at random. MASt3R starts from DUSt3R, as published.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import torch
from torch import Tensor, nn

from bench3r.api.errors import Bench3RError
from bench3r.models.backbone import IMAGE_MEAN, IMAGE_STD

Renamer = tuple[tuple[str, str], ...]

TO_PI3: Renamer = (
    (r"aggregator\.patch_embed\.(?!mask_token)(.*)", r"encoder.\1"),
    (r"aggregator\.frame_blocks\.(\d+)\.(.*)", r"decoder.{2*n}.\2"),
    (r"aggregator\.global_blocks\.(\d+)\.(.*)", r"decoder.{2*n+1}.\2"),
)
TO_DA3: Renamer = (
    (
        r"aggregator\.patch_embed\.(patch_embed\..*|cls_token|pos_embed|blocks\..*)",
        r"model.backbone.pretrained.\1",
    ),
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


def start_from(
    model: nn.Module, source: str, state: dict[str, Tensor], images: Tensor | None = None
) -> int:
    """Load what fits of the weights ``state`` of ``source`` (vggt or dust3r) into ``model``; how many tensors it was.

    With example ``images`` [B, S, 3, H, W], the encoder of a Depth-Anything-3 is scaled to its trunk.

    Raises Bench3RError when nothing fits.
    """
    own, name = model.state_dict(), str(getattr(model, "name", type(model).__name__))
    if source == "dust3r" and name == "mast3r":
        fitting = state
    elif source == "vggt" and name == "dust3r":
        fitting = pair_network_from_vggt(state)
    elif source == "vggt":
        fitting = trunk_from_vggt(
            name, state, getattr(getattr(model, "trunk", None), "alt_start", 0)
        )
    else:
        fitting = {}
    taken = {
        k: v.to(own[k].dtype) for k, v in fitting.items() if k in own and own[k].shape == v.shape
    }
    if not taken:
        raise Bench3RError(f"nothing of the weights of {source} fits a {name}")
    model.load_state_dict({**own, **taken})
    if name == "depth_anything_3" and images is not None:
        match_encoder_scale(model, images)
    return len(taken)


def trunk_from_vggt(name: str, state: dict[str, Tensor], first_pair: int) -> dict[str, Tensor]:
    """VGGT's tensors under the names of the backbone ``name``, whose trunk starts at block ``first_pair``."""
    rules = {"pi3": TO_PI3, "depth_anything_3": TO_DA3}.get(name, ())
    taken = {
        t: value for source, value in state.items() if (t := renamed(source, rules, first_pair))
    }
    camera, registers = (
        state["aggregator.camera_token"][:, 1:],
        state["aggregator.register_token"][:, 1:],
    )
    taken["register_token"] = torch.cat([camera, registers], 2)
    taken["model.backbone.pretrained.camera_token"] = state["aggregator.camera_token"].squeeze(2)
    return taken


@torch.no_grad()
def match_encoder_scale(model: Any, images: Tensor) -> float:
    """Scale the encoder of a Depth-Anything-3 so that its tokens enter the trunk as large as a norm would leave them.

    VGGT norms them there, this model does not, and blocks taken from VGGT would add too little to tokens several times
    larger. The blocks are pre-norm, so scaling whatever is added to the stream scales the stream and changes nothing else.
    ``images`` [B, S, 3, H, W] are examples; returns the factor.
    """
    trunk = model.trunk
    tokens, _ = trunk.local((images.flatten(0, 1) - model.image_mean) / model.image_std)
    factor = 1 / float(tokens[:, 1:].std(-1).mean())
    added = [trunk.cls_token, trunk.pos_embed, *trunk.patch_embed.parameters()]
    for block in trunk.blocks[: trunk.alt_start]:
        added += [block.ls1.gamma, block.ls2.gamma]
    for parameter in added:
        parameter.mul_(factor)
    return factor


def pair_network_from_vggt(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """VGGT's tensors under DUSt3R's names: encoder, frame attention as self-attention, global as cross-attention.

    Gains per channel and the input's normalisation are folded into the layers beside them; the norms of queries and keys
    have no counterpart, so their mean effect is folded into the projections.
    """
    out: dict[str, Tensor] = {}
    state = {k: v.float() for k, v in state.items()}
    kernel, bias = (
        state[f"aggregator.patch_embed.patch_embed.proj.{n}"] for n in ("weight", "bias")
    )
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGE_MEAN, IMAGE_STD))
    out["patch_embed.proj.weight"] = kernel / (2 * std)  # of 2 x - 1 in place of (x - mean) / std
    out["patch_embed.proj.bias"] = bias + (kernel * (0.5 - mean) / std).sum((1, 2, 3))
    encoder, pairs = (
        len({k.split(".")[i] for k in state if k.startswith(start)})
        for start, i in (("aggregator.patch_embed.blocks.", 3), ("aggregator.frame_blocks.", 2))
    )
    for n in range(encoder):
        source = f"aggregator.patch_embed.blocks.{n}"
        out |= _folded(
            state,
            source,
            "attn",
            f"enc_blocks.{n}.attn",
            f"{source}.norm1",
            f"enc_blocks.{n}.norm1",
            "ls1",
        )
        out |= _folded(
            state,
            source,
            "mlp",
            f"enc_blocks.{n}.mlp",
            f"{source}.norm2",
            f"enc_blocks.{n}.norm2",
            "ls2",
        )
    for n, decoder in itertools.product(range(pairs), ("dec_blocks", "dec_blocks2")):
        frame, whole, target = (
            f"aggregator.frame_blocks.{n}",
            f"aggregator.global_blocks.{n}",
            f"{decoder}.{n}",
        )
        out |= _folded(
            state, frame, "attn", f"{target}.attn", f"{frame}.norm1", f"{target}.norm1", "ls1"
        )
        out |= _folded(
            state, whole, "mlp", f"{target}.mlp", f"{whole}.norm2", f"{target}.norm3", "ls2"
        )
        cross = _folded(state, whole, "attn", "", f"{whole}.norm1", f"{target}.norm2", "ls1")
        for kind in ("weight", "bias"):
            for letter, part in zip("qkv", cross.pop(f".qkv.{kind}").chunk(3), strict=True):
                out[f"{target}.cross_attn.proj{letter}.{kind}"] = part
            out[f"{target}.cross_attn.proj.{kind}"] = cross.pop(f".proj.{kind}")
            out[f"{target}.norm_y.{kind}"] = cross[f"{target}.norm2.{kind}"]
        out |= cross
    dim = state["aggregator.frame_blocks.0.norm1.weight"].shape[0]
    out |= {"decoder_embed.weight": torch.eye(dim), "decoder_embed.bias": torch.zeros(dim)}
    for name, value in state.items():
        match = re.fullmatch(r"point_head\.scratch\.((?:layer|refinenet)\d.*)", name)
        if match:
            out |= {f"downstream_head{view}.dpt.scratch.{match[1]}": value for view in (1, 2)}
    return out


def _folded(
    state: dict[str, Tensor],
    block: str,
    branch: str,
    target: str,
    norm: str,
    target_norm: str,
    scale: str,
) -> dict[str, Tensor]:
    """One branch of a VGGT block with its norm, its gain folded into the last layer and its query/key norms into qkv."""
    out = {f"{target_norm}.{kind}": state[f"{norm}.{kind}"] for kind in ("weight", "bias")}
    last, first = ("proj", "qkv") if branch == "attn" else ("fc2", "fc1")
    gain = state[f"{block}.{scale}.gamma"]
    for kind in ("weight", "bias"):
        value = state[f"{block}.{branch}.{last}.{kind}"]
        out[f"{target}.{last}.{kind}"] = value * (gain[:, None] if kind == "weight" else gain)
        out[f"{target}.{first}.{kind}"] = state[f"{block}.{branch}.{first}.{kind}"].clone()
    if f"{block}.attn.q_norm.weight" in state and branch == "attn":
        dim, head = len(gain), len(state[f"{block}.attn.q_norm.weight"])
        typical = state[f"{norm}.weight"]  # tokens after the norm have about this size per channel
        for part, letter in enumerate("qk"):
            rows = slice(part * dim, (part + 1) * dim)
            weight = out[f"{target}.qkv.weight"][rows]
            size = (
                (weight * typical)
                .norm(dim=1)
                .view(-1, head)
                .square()
                .mean(1)
                .sqrt()
                .repeat_interleave(head)
            )
            norms = state[f"{block}.attn.{letter}_norm.weight"].repeat(dim // head) / size
            out[f"{target}.qkv.weight"][rows] = weight * norms[:, None]
            out[f"{target}.qkv.bias"][rows] *= norms
    return out
