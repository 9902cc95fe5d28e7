"""Sparse-linear attention by the released two-way rule: blocks, branches, output, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.attention.sparse import block_sparse_attention, elu_features, linear_attention
from bench3r.parity.golden import Check, Golden, Outputs, Parameters

FEATURES: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: x.softmax(-1),
    "elu": elu_features,
    "relu": F.relu,
}


class BlockParameters(Parameters):
    """Parameters of a case."""

    B: int | None = None
    H: int | None = None
    L: int | None = None
    D: int | None = None
    topk_ratio: float
    feature_map: Literal["softmax", "elu", "relu"]
    BLKQ: int
    BLKK: int


class Branches(NamedTuple):
    """Outputs of the two branches and of both together, [B, H, L, D] each."""

    sparse: Tensor
    linear: Tensor
    both: Tensor


class Rule:
    """The rule of a case on blocks that were chosen once."""

    def __init__(self, golden: Golden, keep: Tensor) -> None:
        inputs = golden.tensors()
        self.p = golden.parameters(BlockParameters)
        self.keep = keep
        self.eps = golden.operations.SLA_EPS
        self.proj = torch.nn.Linear(*inputs["proj_weight"].shape)
        self.proj.weight.data = inputs["proj_weight"]
        self.proj.bias.data = inputs["proj_bias"]

    def run(self, q: Tensor, k: Tensor, v: Tensor) -> Branches:
        """Attention of queries, keys and values [B, H, L, D]."""
        features = FEATURES[self.p.feature_map]
        sparse = block_sparse_attention(q, k, v, self.keep, self.p.BLKQ, self.p.BLKK)
        linear = linear_attention(features(q), features(k), v, self.eps)
        weight, bias = self.proj.weight.to(q.dtype), self.proj.bias.to(q.dtype)
        return Branches(sparse, linear, sparse + F.linear(linear, weight, bias))


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case, with gradients where it has a cotangent."""
    p = golden.parameters(BlockParameters)
    inputs = golden.tensors()
    b, h, length, d = inputs["q"].shape
    golden.agree(p, B=b, H=h, L=length, D=d)
    train = "cotangent" in inputs
    q, k, v = (inputs[name].requires_grad_(train) for name in "qkv")
    with torch.no_grad():
        found = golden.operations.sla_blocks(q, k, p.topk_ratio, p.BLKQ, p.BLKK)
    pooled_q, pooled_k, scores, keep = found
    rule = Rule(golden, keep)
    full = rule.run(q, k, v)
    out: dict[str, Tensor | None] = {
        "mid_pooled_q": pooled_q,
        "mid_pooled_k_centred": pooled_k,
        "mid_pooled_score": scores,
        "mid_block_map": keep.to(torch.int8),
        "mid_topk": keep[0, 0, 0].sum(),
        "mid_out_sparse": full.sparse,
        "mid_out_linear_before_proj": full.linear,
        "out_o_fp32": full.both,
    }
    if train:
        (full.both * inputs["cotangent"]).sum().backward()
        out |= {"out_grad_q": q.grad, "out_grad_k": k.grad, "out_grad_v": v.grad}
        out["out_grad_proj_weight"] = rule.proj.weight.grad
        out["out_grad_proj_bias"] = rule.proj.bias.grad
    with torch.no_grad():
        half = rule.run(q.bfloat16(), k.bfloat16(), v.bfloat16())
    out["out_o_bf16"] = half.both.float()
    return out


CHECK = Check(
    name="sparse_linear_blocks",
    kind="method",
    golden=("sla",),
    outputs=outputs,
    method="lite3r",
    needs=("parameters",),
    reads=("parameters",),
)
