"""Sparse-linear attention with all of its levels: masks, both branches, output, gradients."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from bench3r.models.layers import Attention
from bench3r.parity.checks._attention import attention_of
from bench3r.parity.golden import Check, Golden, Outputs

LEVELS = {"3way": "three_way"}  # names that differ from those of the method's options


class Parameters(BaseModel):
    """Parameters of a case."""

    heads: int
    head_dim: int
    keep_ratio: float
    mode: str
    block: int = 64
    k_high: float = 0.25
    k_low: float = 0.25


def options_of(golden: Golden, p: Parameters) -> Any:
    """The method's options that the case describes."""
    return golden.operations.Options(
        keep_ratio=p.keep_ratio,
        block=p.block,
        level=LEVELS.get(p.mode, p.mode),
        padding="released",
        high=p.k_high,
        low=p.k_low,
    )


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case, with gradients where it has a cotangent."""
    p = golden.parameters(Parameters)
    options = options_of(golden, p)
    inputs = golden.tensors()
    attention = attention_of(inputs, p.heads)
    core = golden.operations.SparseLinearCore(p.head_dim, options, False)
    core.proj_lin.weight.data = inputs["proj_lin_weight"]
    attention.core = core
    x = inputs["x"].requires_grad_("cotangent" in inputs)
    q, k, v = attention.project(x, None)
    sparse, linear = core.branches(q, k, v)
    y = attention(x)
    out: dict[str, Tensor | None] = {
        "mid_q": q,
        "mid_k": k,
        "mid_v": v,
        "mid_a_topk": sparse,
        "mid_a_lin": linear,
        "out_y": y,
    }
    if options.level == "token":
        out["mid_keep_mask"] = golden.operations.top_keys(q, k, options.keep_ratio)
    elif options.level == "block":
        out["mid_block_scores"], out["mid_block_mask"] = core.block_map(q, k)
    else:
        pooled, classes = golden.operations.three_way(q, k, options)
        out |= {"mid_pooled_prob": pooled, "mid_class_map": classes}
    if "cotangent" in inputs:
        (y * inputs["cotangent"]).sum().backward()
        out |= _gradients(attention, x)
    return out


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
)
