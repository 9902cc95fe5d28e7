"""Distillation of attention outputs: the loss, its gradients and the schedules of its weight."""

from __future__ import annotations

import torch
from pydantic import BaseModel
from torch import Tensor

from bench3r.parity.golden import Check, Golden, Outputs
from bench3r.training.distillation import cosine_weight, distillation_loss


class Parameters(BaseModel):
    """Parameters of a case."""

    shapes: list[list[int]]  # one per layer
    total_steps: int
    gamma_default: tuple[float, float]  # weight at the first and the last step
    gamma_released: tuple[float, float]

    def schedules(self) -> dict[str, tuple[float, float]]:
        """The schedules by name."""
        return {"default": self.gamma_default, "released": self.gamma_released}


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    p = golden.parameters(Parameters)
    inputs = golden.tensors()
    layers = range(len(p.shapes))
    student = [inputs[f"student_{i}"].requires_grad_() for i in layers]
    teacher = [inputs[f"teacher_{i}"] for i in layers]
    loss = distillation_loss(student, teacher, skip_mismatched=True)
    loss.backward()
    out: dict[str, Tensor] = {"out_loss": loss}
    for name, (first, last) in p.schedules().items():
        steps = inputs["steps"].tolist()
        weights = [cosine_weight(s / p.total_steps, first, last) for s in steps]
        out[f"out_gamma_{name}"] = torch.tensor(weights, dtype=torch.float64)
    for i, layer in enumerate(student):
        gradient = torch.zeros_like(layer) if layer.grad is None else layer.grad
        out[f"out_grad_student_{i}"] = gradient
    return out


CHECK = Check(
    name="distillation",
    kind="method",
    golden=("lite3r_distill",),
    outputs=outputs,
    needs=("parameters",),
)
