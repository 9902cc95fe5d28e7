"""Distillation of attention outputs: the loss, its gradients and the schedules of its weight."""

from __future__ import annotations

import torch
from torch import Tensor

from bench3r.parity.golden import Check, Golden, Outputs, Parameters
from bench3r.training.distillation import cosine_weight, distillation_loss


class DistillParameters(Parameters):
    """Parameters of a case."""

    shapes: list[list[int]]  # one per layer
    mismatched_layer: int | None = None  # of which student and teacher differ in shape
    total_steps: int
    gamma_default: tuple[float, float]  # weight at the first and the last step
    gamma_released: tuple[float, float]

    def schedules(self) -> dict[str, tuple[float, float]]:
        """The schedules by name."""
        return {"default": self.gamma_default, "released": self.gamma_released}


def outputs(golden: Golden) -> Outputs:
    """All arrays of a case."""
    p = golden.parameters(DistillParameters)
    inputs = golden.tensors()
    layers = range(len(p.shapes))
    student = [inputs[f"student_{i}"].requires_grad_() for i in layers]
    teacher = [inputs[f"teacher_{i}"] for i in layers]
    differing = [i for i in layers if student[i].shape != teacher[i].shape]
    golden.agree(p, mismatched_layer=differing[0] if differing else None)
    loss = torch.zeros(())
    if len(differing) < len(layers):
        loss = distillation_loss(student, teacher, skip_mismatched=True)
        loss.backward()
    out: dict[str, Tensor] = {"out_loss": loss}
    for name, (first, last) in p.schedules().items():
        steps = inputs["steps"].tolist()
        # without steps to come the weight stays at its start
        progress = [s / p.total_steps if p.total_steps > 0 else 0.0 for s in steps]
        weights = [cosine_weight(share, first, last) for share in progress]
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
    reads=("parameters",),
)
