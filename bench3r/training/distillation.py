"""Distillation of attention outputs from the unchanged model (Lite3R's partial attention distillation)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench3r.models.layers import Attention, SoftmaxCore
from bench3r.models.losses import Batch


def distillation_loss(
    student: Sequence[Tensor], teacher: Sequence[Tensor], skip_mismatched: bool = False
) -> Tensor:
    """Mean over layers of the mean squared difference of attention outputs; layers count equally whatever their size.

    ``skip_mismatched``: leave out layers whose shapes differ, as the released code does silently; otherwise they are a
    ValueError.
    """
    if len(student) != len(teacher):
        raise ValueError(
            f"{len(student)} attention outputs of the student, {len(teacher)} of the teacher"
        )
    pairs = [
        (s, t.detach())
        for s, t in zip(student, teacher, strict=True)
        if s.shape == t.shape or not skip_mismatched
    ]
    different = [(tuple(s.shape), tuple(t.shape)) for s, t in pairs if s.shape != t.shape]
    if different:
        raise ValueError(
            f"attention outputs of student and teacher differ in shape: {different[0]}"
        )
    return torch.stack([(s - t).square().mean() for s, t in pairs]).mean()


def cosine_weight(progress: float, first: float, last: float) -> float:
    """Weight of the distillation at ``progress`` in [0, 1]: cosine from ``first`` to ``last`` (paper: constant 0.1)."""
    p = min(max(progress, 0.0), 1.0)
    return last + 0.5 * (first - last) * (1 + math.cos(math.pi * p))


class AttentionRecorder:
    """Keeps the outputs of a model's attention modules (after their output projection), in the order of the calls."""

    def __init__(self, model: Any, only: Sequence[str] | None = None) -> None:
        self.outputs: list[Tensor] = []
        self.names: list[str] = []
        for name, module in model.named_modules():
            if isinstance(module, Attention) and (only is None or name in only):
                module.register_forward_hook(self._keeper(name))

    def _keeper(self, name: str) -> Any:
        def keep(module: Any, inputs: Any, output: Tensor) -> None:
            self.outputs.append(output)
            self.names.append(name)

        return keep

    def take(self) -> list[Tensor]:
        """The outputs since the last call."""
        found, self.outputs, self.names = self.outputs, [], []
        return found


class AttentionDistillation:
    """The loss between a student that is being trained and the frozen model it came from."""

    def __init__(self, student: Any, teacher: Any) -> None:
        """``student`` and ``teacher`` have the same attention modules; those whose core was changed are compared."""
        changed = [
            n
            for n, m in student.named_modules()
            if isinstance(m, Attention) and not isinstance(m.core, SoftmaxCore)
        ]
        self.student, self.teacher = student, teacher.requires_grad_(False).eval()
        self.by_layer: dict[
            str, float
        ] = {}  # error of each module in the last step, over the teacher's mean square
        self.recorders = AttentionRecorder(student, changed), AttentionRecorder(teacher, changed)

    def forget(self) -> None:
        """Drop what was recorded before this step."""
        for recorder in self.recorders:
            recorder.take()

    def __call__(self, batch: Batch, views: Tensor) -> Tensor:
        """The loss, after the student's forward pass on ``batch`` with dense maps for ``views``."""
        self.teacher.head_chunk = self.student.chunk(batch.images)  # heads are called as often
        with torch.no_grad():
            out, layout = self.teacher.run_trunk(batch.images)
            self.teacher.run_heads(out, layout, batch.images, None, views)
        names = self.recorders[0].names
        student, teacher = (r.take() for r in self.recorders)
        for name, s, t in zip(names, student, teacher, strict=True):
            self.by_layer[name] = float(
                ((s - t).square().mean() / t.square().mean().clamp(min=1e-12)).detach()
            )
        return distillation_loss(student, teacher)
