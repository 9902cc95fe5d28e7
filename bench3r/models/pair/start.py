"""A DUSt3R whose training starts from VGGT's weights, and a MASt3R that starts from DUSt3R's.

DUSt3R takes VGGT's encoder, its frame attention as self-attention and its global attention as
cross-attention. Gains per channel and the input's normalisation are folded into the layers beside
them; the norms of queries and keys have no counterpart, so their mean effect is folded into the
projections.
"""

from __future__ import annotations

import itertools
import re
from typing import Literal

import torch
from torch import Tensor, nn

from bench3r.models.backbone import IMAGE_MEAN, IMAGE_STD

State = dict[str, Tensor]
KINDS = ("weight", "bias")
FUSION = re.compile(r"point_head\.scratch\.((?:layer|refinenet)\d.*)")


def from_dust3r(model: nn.Module, state: State) -> State:
    """DUSt3R's tensors (any shapes): a MASt3R has them all under the same names."""
    return state


def from_vggt(model: nn.Module, state: State) -> State:
    """VGGT's tensors (any shapes) under DUSt3R's names."""
    state = {name: value.float() for name, value in state.items()}
    out = _patch_embed(state)
    for n in range(_count(state, "aggregator.patch_embed.blocks.")):
        out |= _encoder_block(state, n)
    numbers = range(_count(state, "aggregator.frame_blocks."))
    for n, decoder in itertools.product(numbers, ("dec_blocks", "dec_blocks2")):
        out |= _decoder_block(state, n, f"{decoder}.{n}")
    dim = len(state["aggregator.frame_blocks.0.norm1.weight"])
    out["decoder_embed.weight"] = torch.eye(dim)
    out["decoder_embed.bias"] = torch.zeros(dim)
    return out | _heads(state)


def _count(state: State, start: str) -> int:
    """How many numbered blocks have names that begin with ``start``."""
    return len({name[len(start) :].split(".")[0] for name in state if name.startswith(start)})


def _patch_embed(state: State) -> State:
    """The patch projection of 2 x - 1 in place of (x - mean) / std."""
    source = "aggregator.patch_embed.patch_embed.proj"
    kernel = state[f"{source}.weight"]  # [C, 3, p, p]
    mean = torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1)
    std = torch.tensor(IMAGE_STD).view(1, 3, 1, 1)
    shift = (kernel * (0.5 - mean) / std).sum((1, 2, 3))
    return {
        "patch_embed.proj.weight": kernel / (2 * std),
        "patch_embed.proj.bias": state[f"{source}.bias"] + shift,
    }


def _encoder_block(state: State, number: int) -> State:
    source = f"aggregator.patch_embed.blocks.{number}"
    target = f"enc_blocks.{number}"
    attention = _folded(state, source, "attn", f"{target}.attn", f"{target}.norm1")
    return attention | _folded(state, source, "mlp", f"{target}.mlp", f"{target}.norm2")


def _decoder_block(state: State, number: int, target: str) -> State:
    frame = f"aggregator.frame_blocks.{number}"
    joint = f"aggregator.global_blocks.{number}"
    out = _folded(state, frame, "attn", f"{target}.attn", f"{target}.norm1")
    out |= _folded(state, joint, "mlp", f"{target}.mlp", f"{target}.norm3")
    cross = _folded(state, joint, "attn", "", f"{target}.norm2")
    for kind in KINDS:
        parts = cross.pop(f".qkv.{kind}").chunk(3)
        for letter, part in zip("qkv", parts, strict=True):
            out[f"{target}.cross_attn.proj{letter}.{kind}"] = part
        out[f"{target}.cross_attn.proj.{kind}"] = cross.pop(f".proj.{kind}")
        out[f"{target}.norm_y.{kind}"] = cross[f"{target}.norm2.{kind}"]
    return out | cross


def _heads(state: State) -> State:
    """The fusion path of VGGT's point head, for both views' heads."""
    out = {}
    for name, value in state.items():
        match = FUSION.fullmatch(name)
        if match:
            out[f"downstream_head1.dpt.scratch.{match[1]}"] = value
            out[f"downstream_head2.dpt.scratch.{match[1]}"] = value
    return out


def _folded(
    state: State, block: str, branch: Literal["attn", "mlp"], target: str, target_norm: str
) -> State:
    """One branch of a VGGT block with its norm; its gain is folded into the last layer."""
    number = 1 if branch == "attn" else 2
    first, last = ("qkv", "proj") if branch == "attn" else ("fc1", "fc2")
    gain = state[f"{block}.ls{number}.gamma"]
    out = {}
    for kind in KINDS:
        out[f"{target_norm}.{kind}"] = state[f"{block}.norm{number}.{kind}"]
        factor = gain[:, None] if kind == "weight" else gain
        out[f"{target}.{last}.{kind}"] = state[f"{block}.{branch}.{last}.{kind}"] * factor
        out[f"{target}.{first}.{kind}"] = state[f"{block}.{branch}.{first}.{kind}"].clone()
    if f"{block}.attn.q_norm.weight" in state and branch == "attn":
        _fold_query_key_norms(state, block, out[f"{target}.qkv.weight"], out[f"{target}.qkv.bias"])
    return out


def _fold_query_key_norms(state: State, block: str, weight: Tensor, bias: Tensor) -> None:
    """Scale queries and keys, in ``weight`` [3C, C] and ``bias`` [3C], as their norms do."""
    typical = state[f"{block}.norm1.weight"]  # tokens have about this size per channel
    dim = len(typical)
    head = len(state[f"{block}.attn.q_norm.weight"])
    for part, letter in enumerate("qk"):
        rows = slice(part * dim, (part + 1) * dim)
        size = (weight[rows] * typical).norm(dim=1).view(-1, head)
        size = size.square().mean(1).sqrt().repeat_interleave(head)
        norms = state[f"{block}.attn.{letter}_norm.weight"].repeat(dim // head) / size
        weight[rows] *= norms[:, None]
        bias[rows] *= norms
