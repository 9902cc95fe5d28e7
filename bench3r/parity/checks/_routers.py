"""What both kinds of routing share: parameters, a toy block, router weights and gradients."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from bench3r.api.errors import describe
from bench3r.parity.golden import Golden, Inputs


class RoutingParameters(BaseModel):
    """Parameters of a case: B samples of T tokens with D channels."""

    B: int
    T: int
    D: int
    recursions: int
    router_func: str
    alpha: float
    temperature: float
    gating: str
    z_coeff: float
    mode: str

    @property
    def training(self) -> bool:
        """Whether losses and gradients are part of the case."""
        return self.mode == "train"

    @property
    def weighted(self) -> bool:
        """Whether the router gate multiplies the block's output."""
        return self.gating == "weighted"


class ToyBlock:
    """x + softmax(x Wq (x Wk)^T / sqrt(d)) x Wv + tanh(x Wm) among the tokens of one sample."""

    def __init__(self, inputs: Inputs[Tensor]) -> None:
        self.q, self.k, self.v, self.m = (inputs[f"block_W{n}"] for n in "qkvm")

    def __call__(self, x: Tensor) -> Tensor:
        """Tokens [n, d] -> [n, d]."""
        weights = ((x @ self.q) @ (x @ self.k).mT / x.shape[-1] ** 0.5).softmax(-1)
        return x + weights @ (x @ self.v) + torch.tanh(x @ self.m)


def options_of(golden: Golden, p: RoutingParameters, **more: Any) -> Any:
    """The method's options that a case describes.

    Raises Bench3RError where they cannot express it.
    """
    try:
        return golden.operations.Options(
            max_depth=p.recursions,
            recursions=p.recursions,
            caching="recursion_wise",
            activation=p.router_func,
            alpha=p.alpha,
            temperature=p.temperature,
            gating="weighted" if p.weighted else "additive",
            z_weight=p.z_coeff,
            **more,
        )
    except ValidationError as error:
        raise describe(error, f"{golden.path}: parameters") from error


def fill_router(router: nn.Module, inputs: Inputs[Tensor], prefix: str) -> None:
    """Load a router from arrays [...] called PREFIX + name, underscores for dots."""
    state = router.state_dict()
    for name, _ in router.named_parameters():
        state[name] = inputs[prefix + name.replace(".", "_")]
    router.load_state_dict(state)


def router_gradients(router: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Gradients [...] of all parameters under the names of the golden files."""
    found: dict[str, Tensor] = {}
    for name, parameter in router.named_parameters():
        if parameter.grad is not None:
            found[prefix + name.replace(".", "_")] = parameter.grad
    return found
