"""Lite3R: every attention becomes sparse-linear, and weights are stored in FP8.

A = softmax over the best key blocks + Proj(linear attention); Proj is one head_dim x head_dim
matrix per layer, shared by its heads, and all that is learned (from the dense model). Each factor
of the paper is a variant with a row of its own, because its effects add up from different causes.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, JsonValue
from torch import Tensor, nn

from bench3r.api.cost import AttentionShape, BackboneCost, Cost
from bench3r.api.method import MethodOptions, TrainedMethod
from bench3r.api.presentation import Fact, FactValue, OptionTable
from bench3r.attention.float8 import FakeQuantLinear, StoredLinear, fp8_products, replace_linears
from bench3r.attention.sparse import (
    attend_in_parts,
    block_sparse_attention,
    elu_features,
    linear_attention,
    pool_blocks,
    top_blocks,
)
from bench3r.models.layers import Attention, Core, TokenLayout
from bench3r.training.distillation import cosine_weight, distillation_table

Level = Literal["block", "token", "three_way", "sla"]
Variant = Literal[
    "bf16_dense",
    "fp8_weight_only",
    "sla_block",
    "sla_linear_only",
    "sla_block_fp8",
    "sla_block_fp8_weight_only",
]
PUBLISHED: Variant = "sla_block_fp8_weight_only"  # all of the paper's factors, deployed W8A16
WITH_ACTIVATIONS: Variant = "sla_block_fp8"  # W8A8
SLA_EPS = 1e-5  # of the linear attention of SLA's release


class Options(MethodOptions):
    """Which factors apply, and how sparse attention is."""

    variant: Variant = Field(
        PUBLISHED,
        description="which of the paper's factors apply; the default is all, deployed as published "
        "with FP8 weights alone; sla_block_fp8: FP8 tokens as well, and the projections in FP8 too",
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
        return self.variant == WITH_ACTIVATIONS

    @property
    def storage(self) -> torch.dtype | None:
        """Precision in which weights are stored; None: as loaded."""
        if self.variant.endswith(("fp8", "fp8_weight_only")):
            return torch.float8_e4m3fn
        return torch.bfloat16 if self.variant == "bf16_dense" else None


def top_keys(q: Tensor, k: Tensor, keep_ratio: float) -> Tensor:
    """Which keys each query keeps by score, bool [N, h, Lq, Lk], of ``q``, ``k`` [N, h, L, d].

    The released token level, which computes every score first.
    """
    count = max(1, int(keep_ratio * int(k.shape[2])))
    return top_blocks(q @ k.mT, count)


def pooled_scores(q: Tensor, k: Tensor, options: Options) -> Tensor:
    """Scaled scores [N, h, Bq, Bk] between pooled blocks of ``q``, ``k`` [N, h, L, d]."""
    released = options.padding == "released"
    queries = pool_blocks(q, options.block, released)
    keys = pool_blocks(k, options.block, released)
    return queries @ keys.mT * q.shape[-1] ** -0.5


def three_way(q: Tensor, k: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """Pooled attention and its classes: 1 critical, 0 marginal, -1 negligible; each [N, h, Bq,
    Bk].
    """
    probability = pooled_scores(q, k, options).softmax(-1)
    blocks = int(probability.shape[-1])
    classes = torch.zeros_like(probability, dtype=torch.int8)
    lowest = top_blocks(-probability, max(1, int(options.low * blocks)))
    highest = top_blocks(probability, max(1, int(options.high * blocks)))
    return probability, classes.masked_fill_(lowest, -1).masked_fill_(highest, 1)


class SlaSelection(NamedTuple):
    """Key blocks that query blocks attend to by the rule of SLA's release."""

    queries: Tensor  # [N, h, Bq, d] pooled
    keys: Tensor  # [N, h, Bk, d] pooled, centred
    scores: Tensor  # [N, h, Bq, Bk]
    keep: Tensor  # bool [N, h, Bq, Bk]


def sla_blocks(q: Tensor, k: Tensor, keep_ratio: float, q_block: int, k_block: int) -> SlaSelection:
    """SLA's released selection for ``q``, ``k`` [N, h, L, d].

    Upstream keeps int(ratio * blocks), which may be none; here at least one.
    """
    queries = pool_blocks(q, q_block)
    keys = pool_blocks(k - k.mean(2, keepdim=True), k_block)
    scores = queries @ keys.mT
    count = max(1, int(keep_ratio * int(scores.shape[-1])))
    return SlaSelection(queries, keys, scores, top_blocks(scores, count))


def whole_blocks(x: Tensor, block: int) -> Tensor:
    """``x`` [N, h, L, d] with zeros after its end, so that L is a multiple of ``block``."""
    return F.pad(x, (0, 0, 0, -x.shape[2] % block))


def marginal_linear(
    q: Tensor, k: Tensor, v: Tensor, classes: Tensor, block: int, eps: float = 1e-6
) -> Tensor:
    """Linear attention [N, h, L, d] over the marginal key blocks of each query block.

    ``q``, ``k``, ``v`` [N, h, L, d] are features and values, ``classes`` [N, h, Bq, Bk] are 0 where
    marginal. Memories are summed once per key block. Zero-padded features (phi(0) = 1) take part as
    in the released code when the caller pads before taking features.
    """
    length = q.shape[2]
    q, k, v = (whole_blocks(x, block).unflatten(2, (-1, block)) for x in (q, k, v))
    marginal = (classes == 0).to(q.dtype)
    memory = torch.einsum("nhij,nhjde->nhide", marginal, k.mT @ v)
    mass = torch.einsum("nhij,nhjd->nhid", marginal, k.sum(3))
    out = (q @ memory) / ((q * mass[..., None, :]).sum(-1, keepdim=True) + eps)
    return out.flatten(2, 3)[:, :, :length]


class SparseLinearCore(Core):
    """Sparse softmax attention plus a projected linear attention.

    ``linear_only`` leaves the softmax branch out.
    """

    def __init__(self, head_dim: int, options: Options, linear_only: bool) -> None:
        super().__init__()
        self.options = options
        self.linear_only = linear_only
        self.proj_lin = nn.Linear(head_dim, head_dim, bias=options.level == "sla")
        nn.init.normal_(self.proj_lin.weight, std=1e-3)
        if options.level == "sla":
            nn.init.zeros_(self.proj_lin.weight)
            nn.init.zeros_(self.proj_lin.bias)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout | None = None) -> Tensor:
        block = self.options.block
        return attend_in_parts(self.both_branches, q, k, v, block, block, split_queries=False)

    def both_branches(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Their sum [N, h, L, d] for ``q``, ``k``, ``v`` [N, h, L, d]; each head is alone."""
        sparse, linear = self.branches(q, k, v)
        linear = self.proj_lin(linear)
        return linear if sparse is None else sparse + linear

    def branches(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor | None, Tensor]:
        """Softmax branch and linear branch before its projection, each [N, h, L, d].

        ``q``, ``k``, ``v`` [N, h, L, d]; the softmax branch is None when it is left out.
        """
        level = self.options.level
        if self.linear_only or level in ("block", "token"):
            linear = linear_attention(elu_features(q), elu_features(k), v)
            return None if self.linear_only else self._softmax(q, k, v), linear
        if level == "three_way":
            return self._three_way(q, k, v)
        linear = linear_attention(q.softmax(-1), k.softmax(-1), v, SLA_EPS)
        block = self.options.block
        return attend_in_parts(self._sla_softmax, q, k, v, block, block), linear

    def _sla_softmax(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The softmax branch of level "sla"."""
        block = self.options.block
        keep = sla_blocks(q, k, self.options.keep_ratio, block, block).keep
        return block_sparse_attention(q, k, v, keep, block, block)

    def _softmax(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The softmax branch of the levels that keep single keys or the best blocks."""
        options = self.options
        if options.level == "token":
            mask = top_keys(q, k, options.keep_ratio)
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        released = options.padding == "released"
        blocks = math.ceil(int(k.shape[2]) / options.block)
        if kept_blocks(blocks, options) == blocks and not released:  # nothing to choose
            return F.scaled_dot_product_attention(q, k, v)
        return attend_in_parts(self._block_softmax, q, k, v, options.block, options.block)

    def _block_softmax(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The softmax branch of level "block"."""
        block = self.options.block
        keep = self.block_map(q, k)[1]
        released = self.options.padding == "released"
        return block_sparse_attention(q, k, v, keep, block, block, zero_padded=released)

    def block_map(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of pooled queries and keys, and the blocks kept, [N, h, Bq, Bk]."""
        scores = pooled_scores(q, k, self.options)
        return scores, top_blocks(scores, kept_blocks(int(scores.shape[-1]), self.options))

    def _three_way(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Softmax over critical blocks, linear attention over marginal ones."""
        block = self.options.block
        released = self.options.padding == "released"
        _, classes = three_way(q, k, self.options)
        sparse = block_sparse_attention(q, k, v, classes == 1, block, block, zero_padded=released)
        length = q.shape[2]
        if released:
            q, k, v = (whole_blocks(x, block) for x in (q, k, v))
        linear = marginal_linear(elu_features(q), elu_features(k), v, classes, block)
        return sparse, linear[:, :, :length]


def kept_blocks(blocks: int, options: Options) -> int:
    """Key blocks that level "block" keeps of ``blocks``."""
    return max(1, round(options.keep_ratio * blocks))


FACTORS = OptionTable(
    option="variant",
    file="lite3r",
    title="Lite3R factor by factor",
    columns=(
        "lite3r/absrel",
        "lite3r/delta1",
        "lite3r/rot_deg",
        "lite3r/trans",
        "lite3r/chamfer_sq",
        "lite3r/fscore_005",
    ),
    storage=True,
    by_dataset=True,
    notes=(
        "Ground truth in units of max(median depth, largest translation); points are compared as "
        "predicted, squared distances; rotation and translation leave the reference view out, so "
        "they are twice what Lite3R prints for two views.",
        "weights: as stored by the variant. Lite3R's baseline stores fp32 and runs under bf16 "
        "autocast; stored in bf16 it would be half as large without any method. On hardware "
        "without FP8 products the FP8 rows are emulated: their memory is real, their time is not "
        "that of FP8 hardware. Linear layers change; all else stays fp32.",
    ),
)


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
    sections = (FACTORS, distillation_table("variant"))

    @property
    def needs_training(self) -> bool:
        """Only the linear branch has something to learn."""
        return self.options.sparse

    def training_options(self) -> dict[str, JsonValue]:
        """FP8 is simulated in training the same way, however the model is deployed."""
        seen = super().training_options()
        if self.options.variant == PUBLISHED:
            seen["variant"] = WITH_ACTIVATIONS
        return seen

    def without_fp8(self) -> Lite3R | None:
        """Storage alone changes: dense attention stays dense, sparse attention sparse."""
        if self.options.storage != torch.float8_e4m3fn:
            return None
        variant: Variant = "sla_block" if self.options.sparse else "bf16_dense"
        return Lite3R(self.options.model_copy(update={"variant": variant}))

    def cost(self, unchanged: BackboneCost) -> Cost | None:
        """Attention of all roles; None for the levels that are there for comparison only."""
        if not self.options.sparse:
            return Cost(unchanged.parts)
        if self.options.level not in ("block", "sla"):
            return None
        return Cost(unchanged.with_attention(self._core))

    def _core(self, a: AttentionShape) -> float:
        """MACs of both branches of one attention."""
        options = self.options
        linear = 3.0 * a.length * a.dim * (a.dim // a.heads)
        if options.variant == "sla_linear_only":
            return a.sequences * linear
        blocks = math.ceil(a.length / options.block)
        kept = kept_blocks(blocks, options)
        if options.level == "sla":
            kept = max(1, int(options.keep_ratio * blocks))
        elif kept == blocks and options.padding != "released":
            return a.sequences * linear + a.dense
        pooled = blocks * blocks * a.dim
        keys = min(kept * options.block, a.length)
        softmax = 2.0 * blocks * options.block * keys * a.dim
        return a.sequences * (linear + pooled + softmax)

    def apply(self, model: Any) -> None:
        """Convert every attention of ``model`` and leave only the new projections to train."""
        if not self.options.sparse:
            return
        linear_only = self.options.variant == "sla_linear_only"
        model.requires_grad_(False)
        for module in list(model.modules()):
            if isinstance(module, Attention):
                head_dim = module.proj.in_features // module.heads
                module.core = SparseLinearCore(head_dim, self.options, linear_only)

    def prepare_training(self, model: Any) -> None:
        """Simulate FP8 in every linear layer but the projections that learn."""
        if self.options.qat and self.options.storage == torch.float8_e4m3fn:
            replace_linears(model, FakeQuantLinear.of, (SparseLinearCore,))

    def teacher_weight(self, progress: float) -> float | None:
        first, last = self.options.distill
        return cosine_weight(progress, first, last)

    def deploy(self, model: Any) -> dict[str, FactValue]:
        """Store the weights as the variant says; what of it is emulated on ``model``'s device."""
        dtype = self.options.storage
        if dtype is None:
            return {}
        activations = self.options.activations
        products = fp8_products(str(next(model.parameters()).device))
        # with FP8 weights alone the projections that learned stay as they were in training
        kept = () if activations else (SparseLinearCore,)
        replace_linears(
            model, lambda linear: StoredLinear(linear, dtype, activations, products), kept
        )
        if dtype == torch.bfloat16:
            model.trunk_dtype = torch.bfloat16
            return {"weight_storage": "bf16"}
        if not activations:  # on any hardware: only storage is FP8
            return {
                "weight_storage": "fp8_e4m3",
                "emulated": "FP8 weights are dequantised before each product",
            }
        emulated = sum(not m.products for m in model.modules() if isinstance(m, StoredLinear))
        text = f"{emulated} linear layers multiply values read back from FP8 codes, not the codes"
        return {"weight_storage": "fp8_e4m3", "emulated": text if emulated else None}
