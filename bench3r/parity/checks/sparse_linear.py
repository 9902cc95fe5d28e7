"""Sparse-linear attention with all of its levels: masks, both branches, output, gradients."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from bench3r.models.layers import Attention
from bench3r.parity.checks._attention import (
    AttentionParameters,
    RopeFrequency,
    attention_of,
    rope_of,
)
from bench3r.parity.golden import Check, Golden, Outputs

LEVELS = {"3way": "three_way"}  # names that differ from those of the method's options
KEEP_RATIO = 0.2  # of the official code, where the file gives null


class SlaParameters(AttentionParameters):
    """Parameters of a case; the defaults are those of the official code."""

    B: int | None = None
    N: int | None = None
    keep_ratio: float | None = None
    mode: Literal["token", "block", "3way"]
    block: int = 64
    k_high: float = 0.05
    k_low: float = 0.10
    rope: RopeFrequency = None
    kept_keys: int | None = None
    kept_blocks: int | None = None
    critical_blocks: int | None = None
    negligible_blocks: int | None = None
    blocks: int | None = None
    padding: int | None = None


def options_of(golden: Golden, p: SlaParameters) -> Any:
    """The method's options that the case describes."""
    return golden.operations.Options(
        keep_ratio=KEEP_RATIO if p.keep_ratio is None else p.keep_ratio,
        block=p.block,
        level=LEVELS.get(p.mode, p.mode),
        padding="released",
        high=p.k_high,
        low=p.k_low,
    )


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case, with gradients where it has a cotangent."""
    p = golden.parameters(SlaParameters)
    options = options_of(golden, p)
    inputs = golden.tensors()
    attention = attention_of(golden, p)
    head_dim = attention.proj.in_features // p.heads
    core = golden.operations.SparseLinearCore(head_dim, options, False)
    core.proj_lin.weight.data = inputs["proj_lin_weight"]
    attention.core = core
    x = inputs["x"].requires_grad_("cotangent" in inputs)
    rope = rope_of(golden, attention, p.rope)
    q, k, v = attention.project(x, rope)
    sparse, linear = core.branches(q, k, v)
    y = attention(x, rope)
    out: dict[str, Tensor | None] = {
        "mid_q": q,
        "mid_k": k,
        "mid_v": v,
        "mid_a_topk": sparse,
        "mid_a_lin": linear,
        "out_y": y,
    }
    golden.agree(p, B=x.shape[0], N=x.shape[1])
    out |= _decisions(golden, p, core, q, k)
    if "cotangent" in inputs:
        (y * inputs["cotangent"]).sum().backward()
        out |= _gradients(attention, x)
    return out


def _decisions(
    golden: Golden, p: SlaParameters, core: Any, q: Tensor, k: Tensor
) -> dict[str, Tensor]:
    """What the case keeps of queries and keys [B, h, N, d], agreeing with what it says of it."""
    options = core.options
    if options.level == "token":
        mask = golden.operations.top_keys(q, k, options.keep_ratio)
        golden.agree(p, kept_keys=_largest(mask))
        return {"mid_keep_mask": mask}
    length = int(q.shape[2])
    golden.agree(p, blocks=math.ceil(length / p.block), padding=-length % p.block)
    if options.level == "block":
        scores, mask = core.block_map(q, k)
        golden.agree(p, kept_blocks=_largest(mask))
        return {"mid_block_scores": scores, "mid_block_mask": mask}
    pooled, classes = golden.operations.three_way(q, k, options)
    golden.agree(p, critical_blocks=_largest(classes == 1))
    golden.agree(p, negligible_blocks=_largest(classes == -1))
    return {"mid_pooled_prob": pooled, "mid_class_map": classes}


def _largest(mask: Tensor) -> int:
    """The largest number of entries of a row of ``mask`` [..., n] that hold."""
    return int(mask.sum(-1).max())


def _gradients(attention: Attention, x: Tensor) -> dict[str, Tensor | None]:
    projection: Any = attention.core
    trained: dict[str, torch.nn.Linear] = {
        "proj_lin_weight": projection.proj_lin,
        "qkv_weight": attention.qkv,
        "proj_weight": attention.proj,
    }
    found = {f"out_grad_{name}": layer.weight.grad for name, layer in trained.items()}
    return found | {"out_grad_x": x.grad}


CHECK = Check(
    name="sparse_linear",
    kind="method",
    golden=("lite3r_sla",),
    outputs=outputs,
    method="lite3r",
    needs=("parameters",),
    reads=("parameters",),
)
