"""Token-choice routing: every token takes one recursion depth.

Choices, losses, gradients and the moved bias.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench3r.parity.checks._routers import RoutingParameters, ToyBlock, options_of
from bench3r.parity.golden import Check, Golden, Inputs, Outputs

VISIBLE = 1000  # times which the files' loss holds the z-loss, so that it is seen


class Parameters(RoutingParameters):
    """Parameters of a case."""

    balancing: str
    bal_warmup_step: float
    coeff: float
    u: float  # step of the bias


def make_router(golden: Golden, p: Parameters, inputs: Inputs[Tensor]) -> Any:
    """The router of a case with its weights [recursions, D]."""
    options = options_of(
        golden,
        p,
        routing="token_choice",
        balancing=p.balancing,
        balance_weight=p.coeff,
        bias_step=p.u,
    )
    router = golden.operations.TokenChoice(p.D, p.recursions, options.router_settings)
    router.mor_router.router.weight.data = inputs["router_weight"]
    if "router_bias" in inputs:
        router.bias.copy_(inputs["router_bias"])
    return router


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    p = golden.parameters(Parameters)
    inputs = golden.tensors()
    router = make_router(golden, p, inputs)
    block = ToyBlock(inputs)
    x = inputs["x"].requires_grad_(p.training)
    logits, probabilities = router.probabilities(x)
    depth, gate = router.choose(probabilities)
    if p.training and p.bal_warmup_step > 1:
        # the case is the first step of a warm-up, in which every token takes the largest depth
        depth = torch.full_like(depth, p.recursions - 1)
        gate = probabilities[..., -1]
    factor = gate if p.weighted else torch.ones_like(gate)
    samples = zip(x, depth, factor, strict=True)
    hidden = torch.stack([_tokens_to_depth(*sample, block) for sample in samples])
    out: dict[str, Tensor | None] = {
        "mid_logits": logits,
        "mid_probs": probabilities,
        "mid_depth": depth,
        "mid_gate": gate,
        "out_hidden": hidden,
    }
    if not p.training:
        return out
    losses = router.losses(logits, probabilities, depth)
    loss = (hidden * inputs["cotangent"]).sum() / p.T + VISIBLE * p.z_coeff * losses["z_loss"]
    if p.balancing == "loss":
        loss = loss + p.coeff * losses["balancing_loss"]
        out["out_balancing_loss"] = losses["balancing_loss"]
    return out | _trained(router, losses, loss, x)


def _trained(
    router: Any, losses: dict[str, Tensor], loss: Tensor, x: Tensor
) -> dict[str, Tensor | None]:
    """What a training step adds."""
    loss.backward()
    router.move_bias()
    return {
        "out_balancing_ratio": losses["balancing_ratio"],
        "out_z_loss": losses["z_loss"],
        "out_loss": loss,
        "out_grad_x": x.grad,
        "out_grad_router_weight": router.mor_router.router.weight.grad,
        "out_router_bias_after": router.bias,
    }


def _tokens_to_depth(x: Tensor, depth: Tensor, gate: Tensor, block: ToyBlock) -> Tensor:
    """One sample [T, D]: each token leaves after depth + 1 passes as input + gate * state."""
    out = x
    state = x
    for i in range(int(depth.max()) + 1):
        active = (depth >= i).nonzero().squeeze(1)
        state = state.index_copy(0, active, block(state[active]))
        ends = (depth == i).nonzero().squeeze(1)
        out = out.index_copy(0, ends, x[ends] + gate[ends, None] * state[ends])
    return out


CHECK = Check(
    name="token_choice",
    kind="method",
    golden=("mor_tc",),
    outputs=outputs,
    method="mor",
    needs=("parameters",),
)
