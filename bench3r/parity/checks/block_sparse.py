"""Block-sparse global attention: selected blocks and outputs; the Hilbert order of patches."""

from __future__ import annotations

import torch
from pydantic import BaseModel

from bench3r.models.layers import TokenLayout
from bench3r.parity.checks._attention import attention_of
from bench3r.parity.golden import Check, Golden, Outputs


class OrderParameters(BaseModel):
    """Parameters of a case that orders patches."""

    grid_h: int
    grid_w: int
    special: int


class Parameters(BaseModel):
    """Parameters of a case that attends."""

    frames: int
    special_tokens: int
    grid_h: int
    grid_w: int
    heads: int
    cdf_threshold: float | None
    sparse_ratio: float | None
    q_block: int
    k_block: int


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    return order(golden) if "hilbert" in golden.case.name else attention(golden)


def order(golden: Golden) -> Outputs:
    """Special tokens, then patches along the Hilbert curve."""
    p = golden.parameters(OrderParameters)
    curve = golden.operations.hilbert_order(p.grid_h, p.grid_w) + p.special
    permutation = torch.cat([torch.arange(p.special), curve])
    return {
        "out_permutation": permutation,
        "out_permuted": golden.tensors()["x"][:, permutation],
    }


def attention(golden: Golden) -> Outputs:
    """Selection of blocks, attention of patches, output of all tokens."""
    p = golden.parameters(Parameters)
    inputs = golden.tensors()
    options = golden.operations.Options(
        cdf=p.cdf_threshold, sparse_ratio=p.sparse_ratio, q_block=p.q_block, k_block=p.k_block
    )
    core = golden.operations.BlockSparseCore(options)
    module = attention_of(inputs, p.heads)
    q, k, v = module.project(inputs["x"], None)
    layout = TokenLayout(1, p.frames, p.special_tokens, p.grid_h, p.grid_w)
    special, patches = core.split(layout, q.device)
    selected = golden.operations.select_blocks(q[:, :, patches], k[:, :, patches], options)
    probability, count, keep = selected
    whole = core.block_map(keep, len(patches), len(special))
    module.core = core
    return {
        "mid_pooled_prob": probability,
        "mid_num_selected": count,
        "mid_block_mask": whole,
        "mid_sparsity": 1 - whole.float().mean(),
        "out_patch_attention": core.patch_attention(q, k, v, special, patches),
        "out_y": module(inputs["x"], None, layout),
    }


CHECK = Check(
    name="block_sparse",
    kind="method",
    golden=("sparse_vggt",),
    outputs=outputs,
    method="block_sparse",
    needs=("parameters",),
)
