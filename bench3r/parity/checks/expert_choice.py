"""Expert-choice routing: every recursion keeps its best tokens.

Gates, selections, losses and gradients.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from pydantic import model_validator
from torch import Tensor

from bench3r.api.errors import Bench3RError
from bench3r.parity.checks._routers import (
    VISIBLE,
    RoutingParameters,
    ToyBlock,
    fill_router,
    router_gradients,
)
from bench3r.parity.golden import Check, Golden, Outputs


class ExpertParameters(RoutingParameters):
    """Parameters of a case."""

    capacity: tuple[float, ...]  # share of all tokens that a recursion keeps
    router_func: Literal["sigmoid", "tanh", "none"] | None
    sampling: Literal["aux_loss", "aux_router", "none"] | None = "aux_loss"
    aux_coeff: float | None = None
    cap_warmup_step: float = 0
    training_step_of_this_call: float = 1

    @model_validator(mode="after")
    def _complete(self) -> ExpertParameters:
        if len(self.capacity) != self.recursions:
            raise ValueError(f"capacity has {len(self.capacity)} entries for {self.recursions}")
        if self.alpha is None and self.activation != "none":
            raise ValueError(f"alpha is missing for router_func {self.router_func}")
        return self

    @property
    def activation(self) -> str:
        """What turns logits into scores."""
        return self.router_func or "none"

    @property
    def judged(self) -> bool:
        """Whether the choice is learnt by a loss of its own."""
        return self.sampling in ("aux_loss", "aux_router")


class Recursion(NamedTuple):
    """What one recursion decided and computed."""

    tokens: Tensor  # [B, n, D] those still alive
    logits: Tensor  # [B, n]
    kept: Tensor  # [B, k] positions among the alive
    selected: Tensor  # [B, k] positions among all
    gate: Tensor  # [B, k]
    hidden: Tensor  # [B, T, D] afterwards


class Case:
    """One case with its routers."""

    def __init__(self, golden: Golden) -> None:
        self.p = p = golden.parameters(ExpertParameters)
        p.check_sizes(golden)
        self.golden = golden
        self.operations = golden.operations
        self.inputs = golden.tensors()
        self.block = ToyBlock(self.inputs)
        self.length = int(self.inputs["x"].shape[1])
        self.settings = p.settings(
            golden,
            activation=p.activation,
            alpha=1.0 if p.alpha is None else p.alpha,
            auxiliary=p.sampling == "aux_router",
        )
        self.routers: list[Any] = []
        for r in range(p.recursions):
            router = self.operations.ExpertChoice(self.inputs["x"].shape[2], self.settings)
            fill_router(router, self.inputs, f"r{r}_")
            self.routers.append(router)

    def count(self, recursion: int) -> int:
        """How many tokens the recursion keeps at the case's step of the capacity's warm-up."""
        share = self.p.capacity[recursion]
        if self.p.training and self.p.cap_warmup_step > 0:
            progress = self.p.training_step_of_this_call / self.p.cap_warmup_step
            share = self.operations.capacity_at(share, progress)
        return int(self.operations.kept_count(share, self.length))

    def losses(self, recursion: int, found: Recursion) -> dict[str, Tensor]:
        """The losses [] of a recursion by their names in the files, those that the case has."""
        router = self.routers[recursion]
        losses: dict[str, Tensor] = {}
        if self.p.judged:
            losses = router.losses(found.tokens, found.logits, found.kept)
        losses["z_loss"] = found.logits.square().mean()
        if f"out_r{recursion}_z_loss" not in self.golden.arrays:
            del losses["z_loss"]
        return losses

    def recur(self, recursion: int, hidden: Tensor, alive: Tensor) -> Recursion:
        """The recursion on the tokens at ``alive`` [B, n] of ``hidden`` [B, T, D].

        Raises Bench3RError when fewer tokens are alive than it keeps.
        """
        router = self.routers[recursion]
        tokens = hidden.gather(1, alive[..., None].expand(-1, -1, hidden.shape[-1]))
        logits = router.logits(tokens)
        count = self.count(recursion)
        if count > alive.shape[1]:
            raise Bench3RError(
                f"{self.golden.path}: recursion {recursion} keeps {count} tokens, "
                f"but {alive.shape[1]} are alive"
            )
        kept = router.keep(logits, count)
        selected = alive.gather(1, kept)
        gate = router.gate(logits).gather(1, kept)
        factor = gate if self.p.weighted else torch.ones_like(gate)
        rows = []
        for state, index, weight in zip(hidden, selected, factor, strict=True):
            rows.append(state.index_add(0, index, weight[:, None] * self.block(state[index])))
        return Recursion(tokens, logits, kept, selected, gate, torch.stack(rows))


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    case = Case(golden)
    p = case.p
    x = case.inputs["x"].requires_grad_(p.training)
    hidden = x
    alive = torch.arange(case.length).expand(len(x), -1)
    extra = x.new_zeros(())
    out: dict[str, Tensor | None] = {}
    for r in range(p.recursions):
        found = case.recur(r, hidden, alive)
        hidden = found.hidden
        alive = found.selected
        out |= _decisions(r, found)
        if p.training:
            losses = case.losses(r, found)
            out |= {f"out_r{r}_{k}": v for k, v in losses.items()}
            weighted = (p.aux_coeff or 0) * losses.get("aux_loss", 0)
            weighted = weighted + (p.z_coeff or 0) * losses.get("z_loss", 0)
            extra = extra + VISIBLE * weighted
    if p.training:
        loss = (hidden * case.inputs["cotangent"]).sum() / case.length + extra
        loss.backward()
        out["out_loss"] = loss
        out["out_grad_x"] = x.grad
        for r, router in enumerate(case.routers):
            out |= router_gradients(router, f"out_grad_r{r}_")
    return out


def _decisions(r: int, found: Recursion) -> dict[str, Tensor]:
    return {
        f"mid_r{r}_logits": found.logits,
        f"mid_r{r}_selected": found.selected,
        f"mid_r{r}_gate": found.gate,
        f"mid_r{r}_topk": torch.tensor(found.kept.shape[1]),
        f"out_r{r}_hidden": found.hidden,
    }


CHECK = Check(
    name="expert_choice",
    kind="method",
    golden=("mor_ec",),
    outputs=outputs,
    method="mor",
    needs=("parameters",),
    reads=("parameters",),
)
