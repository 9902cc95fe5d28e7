"""Parity of the attention methods' core operations with official code: what methods/ uses, run on a golden file's inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench3r.attention.fast_weights import FastWeights, orthogonalise, unit
from bench3r.attention.float8 import FakeQuantLinear, fake_quantise, quantise
from bench3r.attention.merging import MergePlan, bipartite_plan
from bench3r.attention.sparse import block_sparse_attention, elu_features, linear_attention
from bench3r.models.layers import Attention, TokenLayout, rope_rows
from bench3r.parity.methods import method_module
from bench3r.training.distillation import cosine_weight, distillation_loss

Tensors = dict[str, Tensor]


def attention_of(arrays: Tensors, heads: int) -> Attention:
    """An attention module with the weights of a case."""
    attention = Attention(arrays["in_x"].shape[-1], heads, qk_norm=True, role="global")
    names = {n: arrays[f"in_{n.replace('.', '_')}"] for n, _ in attention.named_parameters()}
    attention.load_state_dict(names)
    return attention


def fastvggt(case: dict[str, Any], arrays: Tensors, where: str) -> Tensors:
    """All arrays of a ``fastvggt`` case; the random choice of destinations is taken from the file."""
    module, p = method_module("fastvggt"), case["parameters"]
    attention, x = attention_of(arrays, p["heads"]), arrays["in_x"]
    layout = TokenLayout(
        1, p["frames"], p["tokens_per_frame"] - p["grid_h"] * p["grid_w"], p["grid_h"], p["grid_w"]
    )
    options = module.Options(protect=0.1 if p["protection"] else 0.0, cell=p["sx"])
    destination = module.destinations(layout, arrays["in_cell_choice"], options)
    if not torch.equal(destination, arrays["in_dst_mask"]):  # shows up as a failed mid_dst_indices
        return {}
    alone = module.protected(p["N"], options.protect, x.device)
    plan = bipartite_plan(x[0], destination, p["r"], alone)
    q, k, v = attention.project(
        x, rope_rows(arrays["in_pos"][0], x.shape[-1] // p["heads"], p["rope_frequency"])
    )
    merged = [plan.merge(t[0]) for t in (q, k, v)]
    queries, keys, values = merged
    y = plan.unmerge(F.scaled_dot_product_attention(queries[None], keys[None], values[None])[0])
    flat = {n: t.transpose(1, 2).flatten(2) for n, t in zip("qkv", (q, k, v), strict=True)}
    by_token = {
        n: plan.unmerge(m).transpose(0, 1).flatten(1)[None]
        for n, m in zip("qkv", merged, strict=True)
    }
    gone, representative = merged_into(plan, destination, alone)
    return {
        "mid_dst_indices": destination.nonzero().squeeze(1),
        "mid_protected_indices": alone,
        "mid_src_merged_mask": gone,
        "mid_representative": representative,
        "mid_merged_length": torch.tensor(plan.merged_length),
        "mid_group_size": group_sizes(representative, destination),
        "out_y": attention.proj(y.transpose(0, 1).flatten(1)[None]),
        **{f"mid_{n}": t for n, t in flat.items()},
        **{f"mid_{n}_by_token": t for n, t in by_token.items()},
    }


def merged_into(plan: MergePlan, destination: Tensor, protected: Tensor) -> tuple[Tensor, Tensor]:
    """Which sources were merged [N], and the token that each stands for afterwards [N] (itself when it was not)."""
    alone = torch.zeros_like(destination)
    alone[protected] = True
    owner = torch.empty(plan.merged_length, dtype=torch.long)
    for kind in (~destination & ~alone, destination):  # the destination of a row is written last
        chosen = kind[plan.members] & (plan.rows < plan.merged_length - len(protected))
        owner[plan.rows[chosen]] = plan.members[chosen]
    owner[plan.merged_length - len(protected) :] = protected
    representative = owner[plan.read]
    index = torch.arange(plan.length)
    return (representative != index) & ~destination, torch.where(destination, index, representative)


def group_sizes(representative: Tensor, destination: Tensor) -> Tensor:
    """How many tokens each destination stands for [N]; 0 for the others."""
    return torch.where(
        destination, torch.bincount(representative, minlength=len(representative)), 0
    )


def sparse_vggt(case: dict[str, Any], arrays: Tensors, where: str) -> Tensors:
    """All arrays of a ``sparse_vggt`` case."""
    module, p = method_module("block_sparse"), case["parameters"]
    if "hilbert" in case["name"]:
        order = module.hilbert_order(p["grid_h"], p["grid_w"]) + p["special"]
        order = torch.cat([torch.arange(p["special"]), order])
        return {"out_permutation": order, "out_permuted": arrays["in_x"][:, order]}
    options = module.Options(
        cdf=p["cdf_threshold"],
        sparse_ratio=p["sparse_ratio"],
        q_block=p["q_block"],
        k_block=p["k_block"],
    )
    core, attention = module.BlockSparseCore(options), attention_of(arrays, p["heads"])
    q, k, v = attention.project(arrays["in_x"], None)
    layout = TokenLayout(1, p["frames"], p["special_tokens"], p["grid_h"], p["grid_w"])
    special, patches = core.split(layout, q.device)
    probability, count, keep = module.select_blocks(q[:, :, patches], k[:, :, patches], options)
    whole = core.block_map(keep, len(patches), len(special))
    attention.core = core
    return {
        "mid_pooled_prob": probability,
        "mid_num_selected": count,
        "mid_block_mask": whole,
        "mid_sparsity": 1 - whole.float().mean(),
        "out_patch_attention": core.patch_attention(q, k, v, special, patches),
        "out_y": attention(arrays["in_x"], None, layout),
    }


def lact(case: dict[str, Any], arrays: Tensors, where: str) -> Tensors:
    """All arrays of a ``lact`` case."""
    p = case["parameters"]
    if "ns" in case["name"].split("_"):
        g = arrays["in_G"]
        return {
            "out_X_fp32": orthogonalise(g, p["steps"], p["eps"]),
            "out_X_nsbf16": orthogonalise(g.bfloat16(), p["steps"], p["eps"]).float(),
        }
    return lact_layer(p, arrays) if "layer" in case["name"] else lact_update(p, arrays)


class HalfNewtonSchulz(FastWeights):
    """Fast weights whose Newton-Schulz iterations run in bfloat16, as released."""

    def step(
        self, gradients: tuple[Tensor, ...], norms: tuple[Tensor, ...], newton_schulz: int = 5
    ) -> FastWeights:
        rounded = tuple(g.bfloat16() for g in gradients)
        moved = super().step(rounded, norms, newton_schulz)
        return HalfNewtonSchulz(moved.w0, moved.w1, moved.w2)


def run_ops(
    weights: FastWeights,
    ops: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lr: tuple[Tensor, Tensor, Tensor],
    steps: int,
) -> tuple[FastWeights, Tensor]:
    """Updates and reads in the order of ``ops`` (start, end, update, apply); the weights after them and what was read."""
    norms, outputs = weights.norms(), []
    for start, end, update, apply in ops.tolist():
        part = slice(start, end)
        if update:
            rates = tuple(r[:, part] for r in lr)
            weights = weights.step(weights.gradients(k[:, part], v[:, part], rates), norms, steps)  # type: ignore[arg-type]
        if apply:
            outputs.append(weights.apply(q[:, part]))
    return weights, torch.cat(outputs, 1)


def lact_update(p: dict[str, Any], arrays: Tensors) -> Tensors:
    """Arrays of a ``lact_update`` case, in full precision, with bfloat16 Newton-Schulz, and under autocast."""
    w = [arrays[f"in_w{i}"] for i in (0, 1, 2)]
    q, k, v = (arrays[f"in_{n}"] for n in "qkv")
    lr = (arrays["in_lr0"], arrays["in_lr1"], arrays["in_lr2"])
    out: Tensors = {}
    first = next(row for row in arrays["in_ops"].tolist() if row[2])
    part = slice(first[0], first[1])
    gradients = FastWeights(*w).gradients(k[:, part], v[:, part], tuple(r[:, part] for r in lr))  # type: ignore[arg-type]
    out |= {f"mid_grad{i}": g for i, g in enumerate(gradients)}
    for kind, cls in (
        ("fp32", FastWeights),
        ("nsbf16", HalfNewtonSchulz),
        ("autocast", HalfNewtonSchulz),
    ):
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
            weights, y = run_ops(cls(*w), arrays["in_ops"], q, k, v, lr, p["newton_schulz_steps"])
        out |= {
            f"out_w{i}_{kind}": t.float()
            for i, t in enumerate((weights.w0, weights.w1, weights.w2))
        }
        out[f"out_Y_{kind}"] = y.float()
    return out


def lact_layer(p: dict[str, Any], arrays: Tensors) -> Tensors:
    """Arrays of a ``lact_layer`` case: projections, update and apply, norm, output projection."""
    heads, out = p["heads"], {}
    for kind, cls in (
        ("fp32", FastWeights),
        ("nsbf16", HalfNewtonSchulz),
        ("autocast", HalfNewtonSchulz),
    ):
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
            x = arrays["in_x"]
            q, k, v = (
                per_head(t, heads)
                for t in F.silu(F.linear(x, arrays["in_to_qkv_weight"])).chunk(3, -1)
            )
            offset = torch.tensor(p["base_lr"]).expm1().log()
            rate = F.softplus(
                F.linear(x, arrays["in_lr_fc_weight"], arrays["in_lr_fc_bias"]).float() + offset
            )
            lr = tuple(t.transpose(1, 2).flatten(0, 1)[..., None] for t in rate.chunk(3, -1))
            start = cls(*(arrays[f"in_w{i}"].repeat(len(x), 1, 1) for i in (0, 1, 2)))
            weights, y = run_ops(
                start, arrays["in_ops"], unit(q), unit(k), v, lr, p["newton_schulz_steps"]
            )  # type: ignore[arg-type]
            y = F.rms_norm(y, y.shape[-1:], arrays["in_o_norm_weight"], 1e-5)
            y = y.unflatten(0, (len(x), heads)).transpose(1, 2).flatten(2)
            out[f"out_y_{kind}"] = F.linear(y, arrays["in_c_proj_weight"]).float()
        if kind == "fp32":
            out |= {
                f"mid_w{i}_fp32": t for i, t in enumerate((weights.w0, weights.w1, weights.w2))
            } | {"mid_lr": rate}
    return out


def per_head(x: Tensor, heads: int) -> Tensor:
    """[B, L, C] -> [B * heads, L, head_dim]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2).flatten(0, 1)


def lite3r(case: dict[str, Any], arrays: Tensors, where: str) -> Tensors:
    """All arrays of a ``lite3r`` case."""
    name = case["name"].removeprefix("lite3r_")
    kind = name.split("_")[0]
    return {"sla": lite3r_sla, "fp8": lite3r_fp8, "distill": lite3r_distill}[kind](
        case["parameters"], arrays
    )


def lite3r_sla(p: dict[str, Any], arrays: Tensors) -> Tensors:
    """Sparse-linear attention at the token, block or three-way level, with gradients where a cotangent is given."""
    module = method_module("lite3r")
    level = {"3way": "three_way"}.get(p["mode"], p["mode"])
    options = module.Options(
        keep_ratio=p["keep_ratio"],
        block=p.get("block", 64),
        level=level,
        padding="released",
        high=p.get("k_high", 0.25),
        low=p.get("k_low", 0.25),
    )
    attention = attention_of(arrays, p["heads"])
    core = attention.core = module.SparseLinearCore(p["head_dim"], options, False)
    core.proj_lin.weight.data = arrays["in_proj_lin_weight"]
    x = arrays["in_x"].requires_grad_("in_cotangent" in arrays)
    q, k, v = attention.project(x, None)
    sparse, linear = core.branches(q, k, v)
    out = {
        "mid_q": q,
        "mid_k": k,
        "mid_v": v,
        "mid_a_topk": sparse,
        "mid_a_lin": linear,
        "out_y": attention(x),
    }
    if level == "token":
        out["mid_keep_mask"] = module.top_keys(q, k, options.keep_ratio)
    elif level == "block":
        out["mid_block_scores"], out["mid_block_mask"] = core.block_map(q, k)
    else:
        out["mid_pooled_prob"], out["mid_class_map"] = module.three_way(q, k, options)
    if "in_cotangent" in arrays:
        (out["out_y"] * arrays["in_cotangent"]).sum().backward()
        trained = {
            "proj_lin_weight": core.proj_lin,
            "qkv_weight": attention.qkv,
            "proj_weight": attention.proj,
        }
        out |= {f"out_grad_{n}": m.weight.grad for n, m in trained.items()} | {"out_grad_x": x.grad}
    return out


def lite3r_fp8(p: dict[str, Any], arrays: Tensors) -> Tensors:
    """Simulated E4M3 of a linear layer: codes, scales, output and straight-through gradients."""
    x, weight = arrays["in_x"].requires_grad_(), arrays["in_weight"]
    linear = torch.nn.Linear(p["in"], p["out"], bias=p["bias"])
    linear.weight.data = weight
    if p["bias"]:
        linear.bias.data = arrays["in_bias"]
    layer = FakeQuantLinear.of(linear, p["activation_quant"])
    y = layer(x)
    (y * arrays["in_cotangent"]).sum().backward()
    out = {
        "out_y": y,
        "out_grad_x": x.grad,
        "out_grad_weight": layer.weight.grad,
        "out_x_dequant": fake_quantise(x),
        "out_w_dequant": fake_quantise(weight),
        "out_x_dequant_bf16input": fake_quantise(x.detach().bfloat16()).float(),
    }
    if p["bias"]:
        out["out_grad_bias"] = layer.bias.grad
    for name, value in (("x", x.detach()), ("w", weight)):
        codes, scale = quantise(value)
        out |= {
            f"mid_{name}_scale": scale,
            f"mid_{name}_code_values": codes.float(),
            f"mid_{name}_code_bits": codes.view(torch.uint8),
        }
    return out  # type: ignore[return-value]


def lite3r_distill(p: dict[str, Any], arrays: Tensors) -> Tensors:
    """Distillation loss, its gradients, and the weight's schedules."""
    count = len(p["shapes"])
    student = [arrays[f"in_student_{i}"].requires_grad_() for i in range(count)]
    loss = distillation_loss(
        student, [arrays[f"in_teacher_{i}"] for i in range(count)], skip_mismatched=True
    )
    loss.backward()
    steps = arrays["in_steps"].tolist()
    out = {"out_loss": loss}
    for name in ("default", "released"):
        first, last = p[f"gamma_{name}"]
        weights = [cosine_weight(s / p["total_steps"], first, last) for s in steps]
        out[f"out_gamma_{name}"] = torch.tensor(weights, dtype=torch.float64)
    zeros = {i: torch.zeros_like(s) for i, s in enumerate(student)}
    return out | {
        f"out_grad_student_{i}": s.grad if s.grad is not None else zeros[i]
        for i, s in enumerate(student)
    }


def sla(case: dict[str, Any], arrays: Tensors, where: str) -> Tensors:
    """All arrays of an ``sla`` case: the released two-way rule."""
    module, p = method_module("lite3r"), case["parameters"]
    maps: dict[str, Callable[[Tensor], Tensor]] = {
        "softmax": lambda x: x.softmax(-1),
        "elu": elu_features,
        "relu": F.relu,
    }
    features = maps[p["feature_map"]]
    proj = torch.nn.Linear(p["D"], p["D"])
    proj.weight.data, proj.bias.data = arrays["in_proj_weight"], arrays["in_proj_bias"]
    train = "in_cotangent" in arrays
    q, k, v = (arrays[f"in_{n}"].requires_grad_(train) for n in "qkv")
    with torch.no_grad():
        pooled_q, pooled_k, scores, keep = module.sla_blocks(
            q, k, p["topk_ratio"], p["BLKQ"], p["BLKK"]
        )

    def run(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sparse = block_sparse_attention(q, k, v, keep, p["BLKQ"], p["BLKK"])
        linear = linear_attention(features(q), features(k), v, module.SLA_EPS)
        return (
            sparse,
            linear,
            sparse + F.linear(linear, proj.weight.to(q.dtype), proj.bias.to(q.dtype)),
        )

    sparse, linear, o = run(q, k, v)
    out = {
        "mid_pooled_q": pooled_q,
        "mid_pooled_k_centred": pooled_k,
        "mid_pooled_score": scores,
        "mid_block_map": keep.to(torch.int8),
        "mid_topk": keep[0, 0, 0].sum(),
        "mid_out_sparse": sparse,
        "mid_out_linear_before_proj": linear,
        "out_o_fp32": o,
    }
    if train:
        (o * arrays["in_cotangent"]).sum().backward()
        out |= {
            "out_grad_q": q.grad,
            "out_grad_k": k.grad,
            "out_grad_v": v.grad,
            "out_grad_proj_weight": proj.weight.grad,
            "out_grad_proj_bias": proj.bias.grad,
        }  # type: ignore[dict-item]
    with torch.no_grad():
        out["out_o_bf16"] = run(q.bfloat16(), k.bfloat16(), v.bfloat16())[2].float()
    return out


ATTENTION_CASES: dict[str, Callable[[dict[str, Any], Tensors, str], Tensors]] = {
    "fastvggt": fastvggt,
    "sparse_vggt": sparse_vggt,
    "lact": lact,
    "lite3r": lite3r,
    "sla": sla,
}
