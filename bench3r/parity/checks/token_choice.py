"""Token-choice routing: every token takes one recursion depth.

Choices, losses, gradients and the moved bias.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from bench3r.parity.checks._routers import (
    VISIBLE,
    RoutingParameters,
    ToyBlock,
    fill_router,
    router_gradients,
)
from bench3r.parity.golden import Check, Golden, Inputs, Outputs

FACTORS = {"sigmoid": 0.1, "softmax": 1.0}  # on the scores, where the file names none


class TokenParameters(RoutingParameters):
    """Parameters of a case; without an activation the official code takes the softmax."""

    router_func: Literal["softmax", "sigmoid"] | None = None
    balancing: Literal["loss", "loss_free", "none"] | None = None
    bal_warmup_step: float = 0
    training_step_of_this_call: float = 1
    coeff: float | None = None
    u: float = 0.001  # step of the bias

    @property
    def warming_up(self) -> bool:
        """Whether every token still takes the largest depth."""
        return self.training and self.training_step_of_this_call < self.bal_warmup_step


def make_router(golden: Golden, p: TokenParameters, inputs: Inputs[Tensor]) -> Any:
    """The router of a case with its weights [recursions, D]."""
    activation = p.router_func or "softmax"
    settings = p.settings(
        golden,
        activation=activation,
        alpha=FACTORS[activation] if p.alpha is None else p.alpha,
        bias_step=p.u,
    )
    router = golden.operations.TokenChoice(inputs["x"].shape[2], p.recursions, settings)
    fill_router(router.mor_router, inputs, "")
    if p.balancing == "loss_free":
        router.bias.copy_(inputs["router_bias"])
    return router


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    p = golden.parameters(TokenParameters)
    p.check_sizes(golden)
    inputs = golden.tensors()
    router = make_router(golden, p, inputs)
    block = ToyBlock(inputs)
    x = inputs["x"].requires_grad_(p.training)
    logits, probabilities = router.probabilities(x)
    depth, gate = router.choose(probabilities)
    if p.warming_up:
        depth = torch.full_like(depth, p.recursions - 1)
        gate = probabilities[..., -1]
        router.bias.zero_()
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
    loss = (hidden * inputs["cotangent"]).sum() / x.shape[1]
    if "out_z_loss" in golden.arrays:
        loss = loss + VISIBLE * (p.z_coeff or 0) * losses["z_loss"]
    if p.balancing == "loss":
        loss = loss + (p.coeff or 0) * losses["balancing_loss"]
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
        "out_router_bias_after": router.bias,
        **router_gradients(router.mor_router, "out_grad_"),
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
    reads=("parameters",),
)
