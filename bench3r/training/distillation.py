"""Distillation of attention outputs from the unchanged model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
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
            errors.append(layer_error(mine, other))
        elif not skip_mismatched:
            shapes = (tuple(mine.shape), tuple(other.shape))
            raise ValueError(f"attention outputs of student and teacher differ in shape: {shapes}")
    return torch.stack(errors).mean()


def layer_error(mine: Tensor, other: Tensor) -> Tensor:
    """Mean squared difference [] of the student's output from the teacher's, both [N, L, C].

    Gradients reach the student alone.
    """
    return (mine - other.detach()).square().mean()


def cosine_weight(progress: float, first: float, last: float) -> float:
    """Weight of the distillation at ``progress`` in [0, 1]: cosine from ``first`` to ``last``."""
    p = min(max(progress, 0.0), 1.0)
    return last + 0.5 * (first - last) * (1 + math.cos(math.pi * p))


class AttentionDistillation:
    """The loss between a student that is being trained and the frozen model it came from.

    The teacher runs first and its attention outputs are kept. The student's are compared where
    they arise, so that nothing of them is kept beyond the model's own activations: with activation
    checkpointing the comparison is computed again in the backward pass, like the rest of the block
    (:meth:`contexts`).
    """

    def __init__(self, student: Any, teacher: Any) -> None:
        """``student`` and ``teacher`` have the same attention modules.

        Those whose core was changed are compared.
        """
        self.student = student
        self.teacher = teacher.requires_grad_(False).eval()
        self.expected: dict[str, list[Tensor]] = {}  # outputs [N, L, C] of the teacher's modules
        self.calls: dict[str, int] = {}  # of the student's modules in this step
        self.errors: list[Tensor] = []  # mean squared differences []
        self._relative: dict[str, Tensor] = {}
        self._replayed = False  # whether a block is computed again
        of_teacher = dict(teacher.named_modules())
        for name, module in student.named_modules():
            if isinstance(module, Attention) and not isinstance(module.core, SoftmaxCore):
                module.register_forward_hook(partial(self._compare, name))
                of_teacher[name].register_forward_hook(partial(self._keep, name))

    @property
    def by_layer(self) -> dict[str, float]:
        """Error of each module in the last step, over the teacher's mean square."""
        return {name: float(error) for name, error in self._relative.items()}

    def begin(self, batch: Batch, views: Tensor) -> None:
        """Run the teacher on ``batch``, before the student does; dense maps for ``views`` [V]."""
        self.expected = {}
        self.calls = {}
        self.errors = []
        self.teacher.head_chunk = self.student.chunk(batch.images)  # heads are called as often
        with torch.no_grad():
            out, layout = self.teacher.run_trunk(batch.images)
            self.teacher.run_heads(out, layout, batch.images, None, views)

    def loss(self) -> Tensor:
        """The mean over all compared outputs [], after the student's forward pass.

        Raises ValueError when student and teacher called their modules differently often.
        """
        counts = {name: len(outputs) for name, outputs in self.expected.items()}
        if self.calls != counts:
            raise ValueError(f"calls of attention by the student {self.calls}, teacher {counts}")
        return torch.stack(self.errors).mean()

    def contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """For activation checkpointing: around a block's first computation and its second one.

        In the second the block's attention is compared with the same outputs as in the first.
        """
        return nullcontext(), self._again(dict(self.calls))

    @contextmanager
    def _again(self, calls: dict[str, int]) -> Iterator[None]:
        before = (self.calls, self._replayed)
        self.calls = dict(calls)
        self._replayed = True
        try:
            yield
        finally:
            self.calls, self._replayed = before

    def _keep(self, name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        self.expected.setdefault(name, []).append(output)

    def _compare(self, name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        if name not in self.expected:  # not in a training step
            return
        call = self.calls.get(name, 0)
        self.calls[name] = call + 1
        if call >= len(self.expected[name]):
            return
        other = self.expected[name][call].float()
        error = layer_error(output.float(), other)
        if self._replayed:
            return
        self.errors.append(error)
        self._relative[name] = error.detach() / other.square().mean().clamp(min=1e-12)
