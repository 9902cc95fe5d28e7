"""What both kinds of routing share: parameters, a toy block, router weights and gradients."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench3r.parity.golden import Golden, Inputs, Parameters

VISIBLE = 1000  # times which the files' loss holds the small terms, so that they are seen


class RoutingParameters(Parameters):
    """Parameters of a case: B samples of T tokens with D channels; null switches a part off."""

    B: int | None = None
    T: int | None = None
    D: int | None = None
    recursions: int = Field(ge=1)
    router_type: Literal["linear", "mlp", "wide_mlp"] = "linear"
    alpha: float | None = None
    temperature: float = 1.0
    gating: Literal["weighted", "additive", "none"] | None = "weighted"
    z_coeff: float | None = None
    mode: Literal["train", "eval"]

    @property
    def training(self) -> bool:
        """Whether losses and gradients are part of the case."""
        return self.mode == "train"

    @property
    def weighted(self) -> bool:
        """Whether the router gate multiplies the block's output."""
        return self.gating == "weighted"

    def check_sizes(self, golden: Golden) -> None:
        """Compare the sizes with the tokens. Raises Bench3RError where they differ."""
        b, t, d = golden.tensors()["x"].shape
        golden.agree(self, B=b, T=t, D=d)

    def settings(self, golden: Golden, **more: Any) -> Any:
        """The settings of a router of the case."""
        return golden.operations.RouterSettings(
            kind=self.router_type.removeprefix("wide_"), temperature=self.temperature, **more
        )


class ToyBlock:
    """x + softmax(x Wq (x Wk)^T / sqrt(d)) x Wv + tanh(x Wm) among the tokens of one sample."""

    def __init__(self, inputs: Inputs[Tensor]) -> None:
        self.q, self.k, self.v, self.m = (inputs[f"block_W{n}"] for n in "qkvm")

    def __call__(self, x: Tensor) -> Tensor:
        """Tokens [n, d] -> [n, d]."""
        weights = ((x @ self.q) @ (x @ self.k).mT / x.shape[-1] ** 0.5).softmax(-1)
        return x + weights @ (x @ self.v) + torch.tanh(x @ self.m)


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
