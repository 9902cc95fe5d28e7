"""Token merging before global attention: who is merged into whom, and the output of every token."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.attention.merging import MergePlan, bipartite_plan, token_roles
from bench3r.models.layers import TokenLayout
from bench3r.parity.checks._attention import (
    AttentionParameters,
    RopeFrequency,
    attention_of,
    rope_of,
)
from bench3r.parity.golden import Check, Golden, Outputs


class MergingParameters(AttentionParameters):
    """Parameters of a case: N tokens, r of which are merged."""

    frames: int
    grid_h: int
    grid_w: int
    tokens_per_frame: int
    N: int | None = None
    r: int
    protection: bool
    sx: int = 2
    sy: int = 2
    rope_frequency: RopeFrequency = None
    generator_seed: int | None = None  # of the choice that the file holds

    def layout(self, batch: int) -> TokenLayout:
        """Special tokens and patches of the frames."""
        special = self.tokens_per_frame - self.grid_h * self.grid_w
        return TokenLayout(batch, self.frames, special, self.grid_h, self.grid_w)


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case; the random choice of destinations is taken from the file."""
    p = golden.parameters(MergingParameters)
    inputs = golden.tensors()
    x = inputs["x"]
    golden.agree(p, N=x.shape[1])
    attention = attention_of(golden, p)
    parts = attention.project(x, rope_of(golden, attention, p.rope_frequency))
    out = {f"mid_{n}": t.transpose(1, 2).flatten(2) for n, t in zip("qkv", parts, strict=True)}
    if p.r <= 0:  # the official code merges nothing and protects nothing
        y = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        return out | {"out_y": attention.proj(y)}
    destination = inputs["dst_mask"]
    protect = 0.1 if p.protection else 0.0
    if p.sx == p.sy:  # other cells are taken from the file
        options = golden.operations.Options(protect=protect, cell=p.sx)
        chosen = inputs["cell_choice"]
        own = golden.operations.destinations(p.layout(len(x)), chosen, options)
        if not torch.equal(own, destination):  # shows up as a failed mid_dst_indices
            return {}
    alone = golden.operations.protected(x.shape[1], protect, x.device)
    plan = bipartite_plan(x[0], token_roles(destination, alone), p.r)
    merged: dict[str, Tensor] = {}
    for name, t in zip("qkv", parts, strict=True):
        rows = plan.merge(t[0])
        merged[name] = rows[None]
        out[f"mid_{name}_by_token"] = plan.unmerge(rows).transpose(0, 1).flatten(1)[None]
    y = plan.unmerge(F.scaled_dot_product_attention(merged["q"], merged["k"], merged["v"])[0])
    out["out_y"] = attention.proj(y.transpose(0, 1).flatten(1)[None])
    return out | _decisions(plan, destination, alone)


def _decisions(plan: MergePlan, destination: Tensor, alone: Tensor) -> dict[str, Tensor]:
    gone, representative = merged_into(plan, destination, alone)
    sizes = torch.bincount(representative, minlength=plan.length)
    return {
        "mid_dst_indices": destination.nonzero().squeeze(1),
        "mid_protected_indices": alone,
        "mid_src_merged_mask": gone,
        "mid_representative": representative,
        "mid_merged_length": torch.tensor(plan.merged_length),
        "mid_group_size": torch.where(destination, sizes, 0),
    }


def merged_into(plan: MergePlan, destination: Tensor, protected: Tensor) -> tuple[Tensor, Tensor]:
    """Which sources were merged [N], and the token that each stands for afterwards [N].

    A token that was not merged stands for itself. ``destination`` [N] bool; ``protected`` [P]
    indices.
    """
    alone = torch.zeros_like(destination)
    alone[protected] = True
    shared = plan.merged_length - len(protected)  # rows that can have several members
    owner = torch.empty(plan.merged_length, dtype=torch.long)
    for kind in (~destination & ~alone, destination):  # the destination of a row is written last
        chosen = kind[plan.members] & (plan.rows < shared)
        owner[plan.rows[chosen]] = plan.members[chosen]
    owner[shared:] = protected
    representative = owner[plan.read]
    index = torch.arange(plan.length)
    gone = (representative != index) & ~destination
    return gone, torch.where(destination, index, representative)


CHECK = Check(
    name="token_merging",
    kind="method",
    golden=("fastvggt",),
    outputs=outputs,
    method="fastvggt",
    needs=("parameters",),
    reads=("parameters",),
)
