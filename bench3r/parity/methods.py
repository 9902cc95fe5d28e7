"""Parity of methods' core operations: the routers, gates and losses that methods/ uses, run on a golden file's inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from bench3r.api.errors import Bench3RError, describe, unknown
from bench3r.api.method import METHODS

Arrays = dict[str, np.ndarray]


def method_module(name: str) -> Any:
    """The plug-in module methods/NAME.py."""
    return METHODS.module(METHODS.files()[name])


class ToyBlock:
    """The block of the MoR cases: x + softmax(x Wq (x Wk)^T / sqrt(d)) x Wv + tanh(x Wm) among tokens of one sample."""

    def __init__(self, arrays: dict[str, Tensor]) -> None:
        self.q, self.k, self.v, self.m = (arrays[f"in_block_W{n}"] for n in "qkvm")

    def __call__(self, x: Tensor) -> Tensor:
        """Tokens [n, d] -> [n, d]."""
        weights = ((x @ self.q) @ (x @ self.k).mT / x.shape[-1] ** 0.5).softmax(-1)
        return x + weights @ (x @ self.v) + torch.tanh(x @ self.m)


def fill_router(router: nn.Module, arrays: dict[str, Tensor], prefix: str) -> None:
    """Load a router from arrays called PREFIX + parameter name with underscores for dots."""
    state = {n: arrays[prefix + n.replace(".", "_")] for n, _ in router.named_parameters()}
    router.load_state_dict({**router.state_dict(), **state})


def router_gradients(router: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Gradients under the names of the golden files."""
    found = router.named_parameters()
    return {prefix + n.replace(".", "_"): p.grad for n, p in found if p.grad is not None}


def options_of(module: Any, parameters: dict[str, Any], where: str, **more: Any) -> Any:
    """The method's options that a case describes. Raises Bench3RError for a case that they cannot express."""
    shared = {
        "max_depth": parameters["recursions"],
        "recursions": parameters["recursions"],
        "caching": "recursion_wise",
        "activation": parameters["router_func"],
        "alpha": parameters["alpha"],
        "temperature": parameters["temperature"],
        "gating": "weighted" if parameters["gating"] == "weighted" else "additive",
        "z_weight": parameters["z_coeff"],
    }
    try:
        return module.Options(**shared, **more)
    except ValidationError as error:
        raise describe(error, f"{where}: parameters") from error


def expert_choice(case: dict[str, Any], arrays: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """All arrays of a ``mor_ec`` case."""
    module, p = method_module("mor"), case["parameters"]
    options = options_of(
        module,
        p,
        where,
        routing="expert_choice",
        capacity=tuple(p["capacity"]),
        sampling=p["sampling"],
        router=p["router_type"].removeprefix("wide_"),
        aux_weight=p["aux_coeff"],
    )
    routers = [module.ExpertChoice(p["D"], options) for _ in range(p["recursions"])]
    training, block = p["mode"] == "train", ToyBlock(arrays)
    out: dict[str, Tensor] = {}
    x = arrays["in_x"].requires_grad_(training)
    h, alive = x, torch.arange(p["T"]).expand(p["B"], -1)
    extra = x.new_zeros(())
    for r, router in enumerate(routers):
        fill_router(router, arrays, f"in_r{r}_")
        share = options.capacities[r]
        if training and p["cap_warmup_step"]:
            share = module.capacity_at(
                share, p["training_step_of_this_call"] / p["cap_warmup_step"]
            )
        tokens = h.gather(1, alive[..., None].expand(-1, -1, p["D"]))
        logits = router.logits(tokens)
        kept = router.keep(logits, module.kept_count(share, p["T"]))
        selected, gate = alive.gather(1, kept), router.gate(logits).gather(1, kept)
        factor = gate if options.gating == "weighted" else torch.ones_like(gate)
        rows = []
        for state, index, weight in zip(h, selected, factor, strict=True):
            rows.append(state.index_add(0, index, weight[:, None] * block(state[index])))
        h = torch.stack(rows)
        out |= {
            f"mid_r{r}_logits": logits,
            f"mid_r{r}_selected": selected,
            f"mid_r{r}_gate": gate,
            f"mid_r{r}_topk": torch.tensor(kept.shape[1]),
            f"out_r{r}_hidden": h,
        }
        if training:
            losses = router.losses(tokens, logits, kept)
            out |= {f"out_r{r}_{k}": v for k, v in losses.items()}
            extra = extra + 1000 * (
                p["aux_coeff"] * losses["aux_loss"] + p["z_coeff"] * losses.get("z_loss", 0)
            )
        alive = selected
    if training:
        out["out_loss"] = (h * arrays["in_cotangent"]).sum() / p["T"] + extra
        out["out_loss"].backward()
        assert x.grad is not None
        out["out_grad_x"] = x.grad
        for r, router in enumerate(routers):
            out |= router_gradients(router, f"out_grad_r{r}_")
    return out


def token_choice(case: dict[str, Any], arrays: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """All arrays of a ``mor_tc`` case."""
    module, p = method_module("mor"), case["parameters"]
    options = options_of(
        module,
        p,
        where,
        routing="token_choice",
        balancing=p["balancing"],
        balance_weight=p["coeff"],
        bias_step=p["u"],
    )
    router, block = module.TokenChoice(p["D"], p["recursions"], options), ToyBlock(arrays)
    router.mor_router.router.weight.data = arrays["in_router_weight"]
    if "in_router_bias" in arrays:
        router.bias.copy_(arrays["in_router_bias"])
    training = p["mode"] == "train"
    x = arrays["in_x"].requires_grad_(training)
    logits, probabilities = router.probabilities(x)
    depth, gate = router.choose(probabilities)
    if (
        training and p["bal_warmup_step"] > 1
    ):  # warm-up: every token the largest depth; the case is the first step
        depth = torch.full_like(depth, p["recursions"] - 1)
        gate = probabilities[..., -1]
    factor = gate if options.gating == "weighted" else torch.ones_like(gate)
    hidden = torch.stack(
        [_tokens_to_depth(x[b], depth[b], factor[b], block) for b in range(p["B"])]
    )
    out = {
        "mid_logits": logits,
        "mid_probs": probabilities,
        "mid_depth": depth,
        "mid_gate": gate,
        "out_hidden": hidden,
    }
    if not training:
        return out
    losses = router.losses(logits, probabilities, depth)
    loss = (hidden * arrays["in_cotangent"]).sum() / p["T"] + 1000 * p["z_coeff"] * losses["z_loss"]
    if p["balancing"] == "loss":
        loss = loss + p["coeff"] * losses["balancing_loss"]
        out["out_balancing_loss"] = losses["balancing_loss"]
    loss.backward()
    router.move_bias()
    weight = router.mor_router.router.weight
    return out | {
        "out_balancing_ratio": losses["balancing_ratio"],
        "out_z_loss": losses["z_loss"],
        "out_loss": loss,
        "out_grad_x": x.grad,
        "out_grad_router_weight": weight.grad,
        "out_router_bias_after": router.bias,
    }


def _tokens_to_depth(x: Tensor, depth: Tensor, gate: Tensor, block: ToyBlock) -> Tensor:
    """One sample [T, D]: each token leaves after depth + 1 passes as input + gate * state."""
    out, h = x, x
    for i in range(int(depth.max()) + 1):
        active = (depth >= i).nonzero().squeeze(1)
        h = h.index_copy(0, active, block(h[active]))
        ends = (depth == i).nonzero().squeeze(1)
        out = out.index_copy(0, ends, x[ends] + gate[ends, None] * h[ends])
    return out


CASES: dict[str, Callable[[dict[str, Any], dict[str, Tensor], str], dict[str, Tensor]]] = {
    "mor_ec": expert_choice,
    "mor_tc": token_choice,
}


def method_outputs(case: dict[str, Any], inputs: Arrays, where: str) -> Arrays:
    """All arrays of a method's case, computed by this implementation. Raises Bench3RError for unknown operations."""
    from bench3r.parity.attention import ATTENTION_CASES

    known = {**CASES, **ATTENTION_CASES}
    kind = next((k for k in known if str(case.get("name", "")).startswith(f"{k}_")), None)
    if kind is None:
        raise unknown("operation", str(case.get("name")), known, where)
    arrays = {k: torch.from_numpy(np.array(v)) for k, v in inputs.items() if k.startswith("in_")}
    try:
        out = known[kind](case, arrays, where)
    except KeyError as error:
        raise Bench3RError(f"{where}: the case lacks {error}") from error
    return {k: v.detach().numpy() for k, v in out.items()}
