"""Lite3R: every attention becomes sparse-linear, only a small projection is learned (from the dense model), and weights are
stored in eight bits.

A = softmax over the best key blocks + Proj(linear attention); Proj is one head_dim x head_dim matrix per layer, shared by
its heads. Each factor of the paper is a variant with a row of its own, because its effects add up from different causes.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench3r.api.cost import AttentionShape, BackboneCost, Cost
from bench3r.api.method import MethodOptions, TrainedMethod
from bench3r.api.presentation import Fact
from bench3r.attention.float8 import FakeQuantLinear, StoredLinear, fp8_products, replace_linears
from bench3r.attention.sparse import (
    block_sparse_attention,
    elu_features,
    linear_attention,
    pool_blocks,
    top_blocks,
)
from bench3r.models.layers import Attention, Core, TokenLayout
from bench3r.training.distillation import cosine_weight

Level = Literal["block", "token", "three_way", "sla"]
Variant = Literal["bf16_dense", "fp8_weight_only", "sla_block", "sla_linear_only", "sla_block_fp8"]


SLA_EPS = 1e-5


class Options(MethodOptions):
    """Which factors apply, and how sparse attention is."""

    variant: Variant = Field(
        "sla_block_fp8", description="which of the paper's factors apply; the default is all"
    )
    keep_ratio: float = Field(
        0.3,
        gt=0,
        le=1,
        description="share of the key blocks each query block attends to by softmax",
    )
    block: int = Field(64, ge=1, description="tokens per block")
    level: Level = Field(
        "block",
        description="what is kept: blocks; single keys; blocks in three classes (critical, "
        "marginal, negligible); or blocks by the rule of SLA's own release",
    )
    high: float = Field(0.25, gt=0, le=1, description="three_way: share of critical blocks")
    low: float = Field(0.25, ge=0, le=1, description="three_way: share of negligible blocks")
    padding: Literal["masked", "released"] = Field(
        "masked", description="the released code lets zero padding take part"
    )
    qat: bool = Field(True, description="train with simulated FP8 where the variant stores FP8")
    distill: tuple[float, float] = Field(
        (0.1, 0.01), description="weight of the attention distillation, first and last"
    )

    @property
    def sparse(self) -> bool:
        """Whether attention changes."""
        return self.variant.startswith("sla")

    @property
    def activations(self) -> bool:
        """Whether tokens are FP8 as well when the model is deployed."""
        return self.variant.endswith("block_fp8")

    @property
    def storage(self) -> torch.dtype | None:
        """Precision in which weights are stored; None: as loaded."""
        if self.variant.endswith(("fp8", "fp8_weight_only")):
            return torch.float8_e4m3fn
        return torch.bfloat16 if self.variant == "bf16_dense" else None


def top_keys(q: Tensor, k: Tensor, keep_ratio: float) -> Tensor:
    """Which keys each query keeps by score, [N, h, Lq, Lk]: the released token level, which computes every score first."""
    count = max(1, int(keep_ratio * int(k.shape[2])))
    return top_blocks(q @ k.mT, count)


def three_way(q: Tensor, k: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """Pooled attention [N, h, Bq, Bk] and its classes: 1 critical, 0 marginal, -1 negligible."""
    released = options.padding == "released"
    pooled = [pool_blocks(x, options.block, released) for x in (q, k)]
    probability = (pooled[0] @ pooled[1].mT * q.shape[-1] ** -0.5).softmax(-1)
    blocks = int(probability.shape[-1])
    classes = torch.zeros_like(probability, dtype=torch.int8)
    lowest = top_blocks(-probability, max(1, int(options.low * blocks)))
    classes[lowest] = -1
    classes[top_blocks(probability, max(1, int(options.high * blocks)))] = 1
    return probability, classes


def sla_blocks(
    q: Tensor, k: Tensor, keep_ratio: float, q_block: int, k_block: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """SLA's released selection: pooled queries, pooled centred keys, their scores and the blocks kept [N, h, Bq, Bk].

    Upstream keeps int(ratio * blocks), which may be none; here at least one.
    """
    pooled_q, pooled_k = pool_blocks(q, q_block), pool_blocks(k - k.mean(2, keepdim=True), k_block)
    scores = pooled_q @ pooled_k.mT
    return (
        pooled_q,
        pooled_k,
        scores,
        top_blocks(scores, max(1, int(keep_ratio * int(scores.shape[-1])))),
    )


def marginal_linear(
    q: Tensor, k: Tensor, v: Tensor, classes: Tensor, block: int, eps: float = 1e-6
) -> Tensor:
    """Linear attention of features ``q`` over the marginal key blocks (class 0) of each query block.

    Memories are summed per key block once; zero-padded features (phi(0) = 1) take part as in the released code when the
    caller pads before taking features.
    """
    length = q.shape[2]
    q, k, v = (
        F.pad(x, (0, 0, 0, -x.shape[2] % block)).unflatten(2, (-1, block)) for x in (q, k, v)
    )
    marginal = (classes == 0).to(q.dtype)
    memory = torch.einsum("nhij,nhjde->nhide", marginal, k.mT @ v)
    mass = torch.einsum("nhij,nhjd->nhid", marginal, k.sum(3))
    out = (q @ memory) / ((q * mass[..., None, :]).sum(-1, keepdim=True) + eps)
    return out.flatten(2, 3)[:, :, :length]


class SparseLinearCore(Core):
    """Sparse softmax attention plus a projected linear attention; ``linear_only`` leaves the softmax branch out."""

    def __init__(self, head_dim: int, options: Options, linear_only: bool) -> None:
        super().__init__()
        self.options, self.linear_only = options, linear_only
        self.proj_lin = nn.Linear(head_dim, head_dim, bias=options.level == "sla")
        nn.init.normal_(self.proj_lin.weight, std=1e-3)
        if options.level == "sla":
            nn.init.zeros_(self.proj_lin.weight)
            nn.init.zeros_(self.proj_lin.bias)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        sparse, linear = self.branches(q, k, v)
        linear = self.proj_lin(linear)
        return linear if sparse is None else sparse + linear

    def branches(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor | None, Tensor]:
        """Softmax branch (None when left out) and linear branch before its projection, [N, h, L, d]."""
        o = self.options
        if o.level == "three_way" and not self.linear_only:
            return self._three_way(q, k, v)
        if o.level == "sla" and not self.linear_only:
            keep = sla_blocks(q, k, o.keep_ratio, o.block, o.block)[-1]
            linear = linear_attention(q.softmax(-1), k.softmax(-1), v, SLA_EPS)
            return block_sparse_attention(q, k, v, keep, o.block, o.block), linear
        linear = linear_attention(elu_features(q), elu_features(k), v)
        if self.linear_only:
            return None, linear
        if o.level == "token":
            return F.scaled_dot_product_attention(
                q, k, v, attn_mask=top_keys(q, k, o.keep_ratio)
            ), linear
        released, blocks = o.padding == "released", math.ceil(int(k.shape[2]) / o.block)
        if not released and max(1, round(o.keep_ratio * blocks)) == blocks:  # nothing to choose
            return F.scaled_dot_product_attention(q, k, v), linear
        keep = self.block_map(q, k)[1]
        return block_sparse_attention(q, k, v, keep, o.block, o.block, zero_padded=released), linear

    def block_map(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of pooled queries and keys and the blocks kept, [N, h, Bq, Bk]."""
        released = self.options.padding == "released"
        pooled = [pool_blocks(x, self.options.block, released) for x in (q, k)]
        scores = pooled[0] @ pooled[1].mT * q.shape[-1] ** -0.5
        return scores, top_blocks(
            scores, max(1, round(self.options.keep_ratio * int(scores.shape[-1])))
        )

    def _three_way(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        o, released = self.options, self.options.padding == "released"
        _, classes = three_way(q, k, o)
        sparse = block_sparse_attention(
            q, k, v, classes == 1, o.block, o.block, zero_padded=released
        )
        if released:
            length = q.shape[2]
            q, k, v = (F.pad(x, (0, 0, 0, -x.shape[2] % o.block)) for x in (q, k, v))
            return sparse, marginal_linear(elu_features(q), elu_features(k), v, classes, o.block)[
                :, :, :length
            ]
        return sparse, marginal_linear(elu_features(q), elu_features(k), v, classes, o.block)


class Lite3R(TrainedMethod):
    """Sparse-linear attention everywhere, learned projections, FP8 weights."""

    name = "lite3r"
    label = "Lite3R"
    hooks = ("attention",)
    source = "Lite3R: Lightweight Feed-Forward 3D Reconstruction, 2026 (arXiv 2605.11354)"
    Options = Options
    facts = (
        Fact("weight_storage", "precision in which linear layers are stored"),
        Fact("emulated", "what of it the device cannot compute as such"),
    )

    @property
    def needs_training(self) -> bool:
        """Only the linear branch has something to learn."""
        return self.options.sparse

    def cost(self, dense: BackboneCost) -> Cost | None:
        """Attention of all roles; None for the levels that are there for comparison only."""
        o = self.options
        if not o.sparse:
            return Cost(dense.parts)
        return Cost(dense.with_attention(self._core)) if o.level in ("block", "sla") else None

    def _core(self, a: AttentionShape) -> float:
        """Both branches of one attention."""
        o, d = self.options, a.dim // a.heads
        linear = 3.0 * a.length * a.dim * d
        if o.variant == "sla_linear_only":
            return a.sequences * linear
        blocks = math.ceil(a.length / o.block)
        kept = max(1, (round if o.level == "block" else int)(o.keep_ratio * blocks))
        if kept == blocks and o.level == "block" and o.padding != "released":
            return a.sequences * linear + a.dense
        pooled, rows = blocks * blocks * a.dim, blocks * o.block
        return a.sequences * (linear + pooled + 2.0 * rows * min(kept * o.block, a.length) * a.dim)

    def apply(self, model: Any) -> None:
        """Convert every attention of ``model`` and leave only the new projections to train."""
        if not self.options.sparse:
            return
        model.requires_grad_(False)
        for module in list(model.modules()):
            if isinstance(module, Attention):
                head_dim = module.proj.in_features // module.heads
                module.core = SparseLinearCore(
                    head_dim, self.options, self.options.variant == "sla_linear_only"
                )

    def prepare_training(self, model: Any) -> None:
        """Simulate FP8 in every linear layer but the projections that learn."""
        if self.options.qat and self.options.storage == torch.float8_e4m3fn:
            replace_linears(model, FakeQuantLinear.of, (SparseLinearCore,))

    def teacher_weight(self, progress: float) -> float | None:
        first, last = self.options.distill
        return cosine_weight(progress, first, last)

    def deploy(self, model: Any) -> dict[str, Any]:
        """Store the weights as the variant says; what of it is emulated on ``model``'s device."""
        dtype = self.options.storage
        if dtype is None:
            return {}
        products = fp8_products(str(next(model.parameters()).device))
        activations = self.options.activations
        replace_linears(model, lambda linear: StoredLinear(linear, dtype, activations, products))
        if dtype == torch.bfloat16:
            model.trunk_dtype = torch.bfloat16
            return {"weight_storage": "bf16"}
        if not activations:  # on any hardware: only storage is FP8
            return {
                "weight_storage": "fp8_e4m3",
                "emulated": "FP8 weights are widened before each product",
            }
        emulated = sum(not m.products for m in model.modules() if isinstance(m, StoredLinear))
        text = f"{emulated} linear layers multiply values read back from FP8 codes, not the codes"
        return {"weight_storage": "fp8_e4m3", "emulated": text if emulated else None}
