"""Distillation of attention outputs beside recomputed blocks."""

from __future__ import annotations

import copy

import pytest
import torch

from bench3r.training.config import FinetuneConfig
from bench3r.training.distillation import AttentionDistillation
from bench3r.training.step import Teacher, TrainStep
from bench3r.training.trainer import Trainer, checkpoint_blocks
from tests.helpers.changed import method
from tests.helpers.training import stream
from tests.training.test_recursive_training import saved_bytes


def step_of(base, recompute: bool, taught: bool) -> TrainStep:
    """A training step of Lite3R on ``base``, which is the teacher."""
    student = copy.deepcopy(base).train()
    method("lite3r", block=16, variant="sla_block").apply(student)
    torch.manual_seed(0)
    for name, parameter in student.named_parameters():
        if ".proj_lin." in name:
            torch.nn.init.normal_(parameter, std=0.1)
    loss = AttentionDistillation(student, copy.deepcopy(base))
    if recompute:
        checkpoint_blocks(student, loss.contexts)
    return TrainStep(student, FinetuneConfig(), Teacher(loss, lambda _: 0.5) if taught else None)


def gradients(step: TrainStep) -> list[torch.Tensor]:
    return [p.grad for p in step.model.parameters() if p.grad is not None]


def test_a_teacher_keeps_no_activations_of_the_student(tiny):
    batch = next(stream(4, 2))
    kept = {}
    steps = {}
    for recompute in (False, True):
        for taught in (False, True):
            step = step_of(tiny, recompute, taught)
            size, total = saved_bytes(step, batch)
            total.backward()
            kept[recompute, taught] = size
            steps[recompute, taught] = step
    assert kept[True, True] < 1.02 * kept[True, False] < 0.7 * kept[False, False]
    one, other = steps[False, True], steps[True, True]
    for a, b in zip(gradients(one), gradients(other), strict=True):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-3)
    plain, again = one.teacher.loss, other.teacher.loss
    assert plain.by_layer == pytest.approx(again.by_layer)
    assert len(plain.by_layer) == 13
    assert len(again.errors) == len(plain.errors), "a block that runs again adds no loss"


def test_what_is_frozen_is_named_as_it_is_saved(tiny, tmp_path):
    student = copy.deepcopy(tiny)
    method("lite3r", block=16).apply(student)
    config = FinetuneConfig(steps=1, activation_checkpointing=True)
    trainer = Trainer(student, config, tmp_path, lambda _: iter(()))
    trained = trainer.average().keys() - trainer.frozen()
    parameters = {n for n in trained if "image_mean" not in n and "image_std" not in n}
    assert parameters
    assert all(n.endswith("proj_lin.weight") for n in parameters)


def test_calls_that_the_teacher_does_not_make_are_refused(tiny):
    step = step_of(tiny, recompute=False, taught=True)
    loss = step.teacher.loss
    batch = next(stream(4, 2))
    loss.begin(batch, torch.arange(1))
    with pytest.raises(ValueError, match="calls of attention"):
        loss.loss()
