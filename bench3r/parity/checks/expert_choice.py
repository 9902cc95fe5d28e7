"""Expert-choice routing: every recursion keeps its best tokens.

Gates, selections, losses and gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench3r.parity.checks._routers import (
    RoutingParameters,
    ToyBlock,
    fill_router,
    options_of,
    router_gradients,
)
from bench3r.parity.golden import Check, Golden, Outputs

VISIBLE = 1000  # times which the files' loss holds the small terms, so that they are seen


class Parameters(RoutingParameters):
    """Parameters of a case."""

    capacity: tuple[float, ...]  # share of all tokens that a recursion keeps
    sampling: str
    router_type: str
    aux_coeff: float
    cap_warmup_step: float
    training_step_of_this_call: float


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
        self.p = golden.parameters(Parameters)
        self.operations = golden.operations
        self.inputs = golden.tensors()
        self.block = ToyBlock(self.inputs)
        self.options = options_of(
            golden,
            self.p,
            routing="expert_choice",
            capacity=self.p.capacity,
            sampling=self.p.sampling,
            router=self.p.router_type.removeprefix("wide_"),
            aux_weight=self.p.aux_coeff,
        )
        self.routers: list[Any] = []
        for r in range(self.p.recursions):
            router = self.operations.ExpertChoice(self.p.D, self.options.router_settings)
            fill_router(router, self.inputs, f"r{r}_")
            self.routers.append(router)

    def count(self, recursion: int) -> int:
        """How many tokens the recursion keeps at the case's step of the capacity's warm-up."""
        share = self.options.capacities[recursion]
        if self.p.training and self.p.cap_warmup_step:
            progress = self.p.training_step_of_this_call / self.p.cap_warmup_step
            share = self.operations.capacity_at(share, progress)
        return int(self.operations.kept_count(share, self.p.T))

    def recur(self, recursion: int, hidden: Tensor, alive: Tensor) -> Recursion:
        """The recursion on the tokens at ``alive`` [B, n] of ``hidden`` [B, T, D]."""
        router = self.routers[recursion]
        tokens = hidden.gather(1, alive[..., None].expand(-1, -1, self.p.D))
        logits = router.logits(tokens)
        kept = router.keep(logits, self.count(recursion))
        selected = alive.gather(1, kept)
        gate = router.gate(logits).gather(1, kept)
        factor = gate if self.options.gating == "weighted" else torch.ones_like(gate)
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
    alive = torch.arange(p.T).expand(p.B, -1)
    extra = x.new_zeros(())
    out: dict[str, Tensor | None] = {}
    for r, router in enumerate(case.routers):
        found = case.recur(r, hidden, alive)
        hidden = found.hidden
        alive = found.selected
        out |= _decisions(r, found)
        if p.training:
            losses = router.losses(found.tokens, found.logits, found.kept)
            out |= {f"out_r{r}_{k}": v for k, v in losses.items()}
            weighted = p.aux_coeff * losses["aux_loss"] + p.z_coeff * losses.get("z_loss", 0)
            extra = extra + VISIBLE * weighted
    if p.training:
        loss = (hidden * case.inputs["cotangent"]).sum() / p.T + extra
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
)
