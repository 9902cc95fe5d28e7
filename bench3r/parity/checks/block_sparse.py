"""Block-sparse global attention: selected blocks and outputs; the Hilbert order of patches."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, model_validator

from bench3r.models.layers import TokenLayout
from bench3r.parity.checks._attention import (
    AttentionParameters,
    RopeFrequency,
    attention_of,
    rope_of,
)
from bench3r.parity.golden import Check, Golden, Outputs, Parameters

POOLING = {"avg": "mean", "max": "max"}  # names of the files and of the method's options


class OrderParameters(Parameters):
    """Parameters of a case that orders patches."""

    grid_h: int
    grid_w: int
    special: int
    frames: int | None = None


class SparseParameters(AttentionParameters):
    """Parameters of a case that attends."""

    frames: int
    special_tokens: int
    grid_h: int
    grid_w: int
    cdf_threshold: float | None = Field(None, ge=0, le=1)
    sparse_ratio: float | None = Field(None, ge=0, le=1)
    pool_mode: Literal["avg", "max"] = "avg"
    q_block: int = 128
    k_block: int = 64
    rope: RopeFrequency = None
    patch_tokens: int | None = None
    special_keys: int | None = None
    extra_blocks: int | None = None

    @model_validator(mode="after")
    def _limited(self) -> SparseParameters:
        if self.cdf_threshold is None and self.sparse_ratio is None:
            raise ValueError("one of cdf_threshold and sparse_ratio must not be null")
        return self


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    return order(golden) if "out_permutation" in golden.arrays else attention(golden)


def order(golden: Golden) -> Outputs:
    """Special tokens, then patches along the Hilbert curve."""
    p = golden.parameters(OrderParameters)
    x = golden.tensors()["x"]
    golden.agree(p, frames=len(x))
    curve = golden.operations.hilbert_order(p.grid_h, p.grid_w) + p.special
    permutation = torch.cat([torch.arange(p.special), curve])
    return {"out_permutation": permutation, "out_permuted": x[:, permutation]}


def attention(golden: Golden) -> Outputs:
    """Selection of blocks, attention of patches, output of all tokens."""
    p = golden.parameters(SparseParameters)
    x = golden.tensors()["x"]
    options = golden.operations.Options(
        cdf=p.cdf_threshold,
        sparse_ratio=p.sparse_ratio,
        q_block=p.q_block,
        k_block=p.k_block,
        pooling=POOLING[p.pool_mode],
    )
    core = golden.operations.BlockSparseCore(options)
    module = attention_of(golden, p)
    rope = rope_of(golden, module, p.rope)
    q, k, v = module.project(x, rope)
    layout = TokenLayout(len(x), p.frames, p.special_tokens, p.grid_h, p.grid_w)
    special, patches = core.places(layout, q.device)
    selected = golden.operations.select_blocks(q[:, :, patches], k[:, :, patches], options)
    probability, count, keep = selected
    whole = core.block_map(keep, len(patches), len(special))
    keys = len(patches) + len(special)
    pooled = math.ceil(len(patches) / p.k_block)
    extra = math.ceil(keys / p.k_block) - pooled
    golden.agree(p, patch_tokens=len(patches), special_keys=len(special), extra_blocks=extra)
    module.core = core
    return {
        "mid_pooled_prob": probability,
        "mid_num_selected": count,
        "mid_block_mask": whole,
        "mid_sparsity": 1 - whole.float().mean(),
        "out_patch_attention": core.patch_attention(q, k, v, special, patches),
        "out_y": module(x, rope, layout),
    }


CHECK = Check(
    name="block_sparse",
    kind="method",
    golden=("sparse_vggt",),
    outputs=outputs,
    method="block_sparse",
    needs=("parameters",),
    reads=("parameters",),
)
