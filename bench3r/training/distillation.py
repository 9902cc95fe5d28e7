"""Distillation of attention outputs from the unchanged model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench3r.api.presentation import LayerValues
from bench3r.models.layers import Attention, SoftmaxCore
from bench3r.models.losses import Batch


def distillation_table(option: str = "") -> LayerValues:
    """The table of what every layer still differs; ``option``: whose values are told apart."""
    return LayerValues(
        file="distillation",
        title="Distillation error per layer",
        option=option,
        notes=(
            "Mean squared difference of the attention output to the dense model's over the mean "
            "square of the latter, on the last training batch.",
        ),
    )


def distillation_loss(
    student: Sequence[Tensor], teacher: Sequence[Tensor], skip_mismatched: bool = False
) -> Tensor:
    """Mean over layers of the mean squared difference of attention outputs [N, L, C]: [].

    Layers count equally whatever their size. ``skip_mismatched``: leave out layers whose shapes
    differ, as some released code does silently. Raises ValueError for another number of outputs
    and, unless they are left out, for other shapes.
    """
    if len(student) != len(teacher):
        counts = f"{len(student)} attention outputs of the student, {len(teacher)} of the teacher"
        raise ValueError(counts)
    errors = []
    for mine, other in zip(student, teacher, strict=True):
        if mine.shape == other.shape:
            errors.append((mine - other.detach()).square().mean())
        elif not skip_mismatched:
            shapes = (tuple(mine.shape), tuple(other.shape))
            raise ValueError(f"attention outputs of student and teacher differ in shape: {shapes}")
    return torch.stack(errors).mean()


def cosine_weight(progress: float, first: float, last: float) -> float:
    """Weight of the distillation at ``progress`` in [0, 1]: cosine from ``first`` to ``last``."""
    p = min(max(progress, 0.0), 1.0)
    return last + 0.5 * (first - last) * (1 + math.cos(math.pi * p))


class AttentionRecorder:
    """Keeps the outputs of a model's attention modules, in the order of the calls.

    After their output projection.
    """

    def __init__(self, model: Any, only: Sequence[str] | None = None) -> None:
        self.outputs: list[Tensor] = []
        self.names: list[str] = []
        for name, module in model.named_modules():
            if isinstance(module, Attention) and (only is None or name in only):
                module.register_forward_hook(self._keeper(name))

    def _keeper(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
            self.outputs.append(output)
            self.names.append(name)

        return keep

    def take(self) -> list[Tensor]:
        """The outputs [N, L, C] since the last call."""
        found = self.outputs
        self.outputs = []
        self.names = []
        return found


class AttentionDistillation:
    """The loss between a student that is being trained and the frozen model it came from."""

    def __init__(self, student: Any, teacher: Any) -> None:
        """``student`` and ``teacher`` have the same attention modules.

        Those whose core was changed are compared.
        """
        changed = []
        for name, module in student.named_modules():
            if isinstance(module, Attention) and not isinstance(module.core, SoftmaxCore):
                changed.append(name)
        self.student = student
        self.teacher = teacher.requires_grad_(False).eval()
        # error of each module in the last step, over the teacher's mean square
        self.by_layer: dict[str, float] = {}
        self.recorders = (AttentionRecorder(student, changed), AttentionRecorder(teacher, changed))

    def forget(self) -> None:
        """Drop what was recorded before this step."""
        for recorder in self.recorders:
            recorder.take()

    def __call__(self, batch: Batch, views: Tensor) -> Tensor:
        """The loss [], after the student's forward pass on ``batch``.

        With dense maps for ``views`` [V].
        """
        self.teacher.head_chunk = self.student.chunk(batch.images)  # heads are called as often
        with torch.no_grad():
            out, layout = self.teacher.run_trunk(batch.images)
            self.teacher.run_heads(out, layout, batch.images, None, views)
        names = self.recorders[0].names
        student = self.recorders[0].take()
        teacher = self.recorders[1].take()
        for name, mine, other in zip(names, student, teacher, strict=True):
            size = other.square().mean().clamp(min=1e-12)
            self.by_layer[name] = float(((mine - other).square().mean() / size).detach())
        return distillation_loss(student, teacher)
