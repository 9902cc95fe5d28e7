"""Training of recursive methods at large scale: sharded weights, recomputed activations."""

from __future__ import annotations

import copy

import pytest
import torch

from bench3r.training.config import FinetuneConfig
from bench3r.training.step import TrainStep
from bench3r.training.trainer import checkpoint_blocks
from tests.helpers.changed import method
from tests.helpers.processes import run_processes
from tests.helpers.training import stream

SETTINGS = {
    "mor": [{"caching": "recursion_wise"}, {"caching": "recursive_sharing"}],
    "spatial_mor": [{"caching": "spatial_blending"}, {"caching": "region_coherent"}],
}
ALL = [(name, options) for name, several in SETTINGS.items() for options in several]


def saved_bytes(step: TrainStep, batch) -> tuple[int, torch.Tensor]:
    """What a forward pass keeps for the backward one outside recomputed blocks, and its loss."""
    kept: dict[int, int] = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        total = step(batch, torch.arange(1))["total"]
    return sum(kept.values()), total


@pytest.mark.parametrize(("name", "options"), ALL)
def test_recomputed_blocks_save_memory_and_leave_gradients(tiny, name, options):
    method(name, **options).apply(tiny)
    batch = next(stream(4, 2))
    kept, gradients = [], []
    for recompute in (False, True):
        model = copy.deepcopy(tiny).train()
        if recompute:
            checkpoint_blocks(model)
        size, total = saved_bytes(TrainStep(model, FinetuneConfig()), batch)
        total.backward()
        kept.append(size)
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert kept[1] < 0.6 * kept[0]
    for key, gradient in gradients[0].items():
        again = gradients[1][key] if key in gradients[1] else gradients[1][wrapped(key, model)]
        torch.testing.assert_close(again, gradient, atol=1e-5, rtol=1e-3)


def wrapped(name: str, model: torch.nn.Module) -> str:
    """The name of a parameter whose block is wrapped for recomputation."""
    inside = "_checkpoint_wrapped_module."
    return next(n for n, _ in model.named_parameters() if n.replace(inside, "") == name)


SHARDED = """
import copy
from pathlib import Path
from bench3r.models.weights import load_strict, read_state_dict
from bench3r.models.vggt.config import VGGT_SCALES
from bench3r.models.vggt.network import VGGT
from bench3r.training.config import FinetuneConfig
from bench3r.training.step import TrainStep
from bench3r.training.trainer import Trainer
from tests.helpers.changed import WEIGHTS, method
from tests.helpers.training import stream

for name, options in {all}:
    torch.manual_seed(0)
    model = VGGT(VGGT_SCALES["tiny"]())
    load_strict(model, read_state_dict(WEIGHTS), "tiny")
    method(name, **options).apply(model)
    batch, views = next(stream(4, 2)), torch.arange(1)
    config = FinetuneConfig(
        steps=1, sharding="fsdp", activation_checkpointing=True, view_counts=(2,), warmup=1
    )
    alone = copy.deepcopy(model).train()
    TrainStep(alone, config)(batch, views)["total"].backward()
    expected = {{n: p.grad for n, p in alone.named_parameters()}}
    trainer = Trainer(model, config, Path("run") / name / options["caching"], lambda _: stream(4, 2))
    trainer.module(batch, views)["total"].backward()
    compared = 0
    for key, parameter in trainer.model.named_parameters():
        gradient = expected[key.replace("_checkpoint_wrapped_module.", "")]
        if gradient is None or parameter.grad is None:
            continue
        compared += 1
        whole = parameter.grad.full_tensor()
        torch.testing.assert_close(whole, gradient, atol=1e-5, rtol=1e-3)
    assert compared > 100, compared
    trainer.optimizer.zero_grad()
    trainer.run()
    assert trainer.step == 1
"""


def test_two_sharded_processes_have_the_gradients_of_one(tmp_path):
    run_processes(tmp_path, SHARDED.format(all=[ALL[0], ALL[1], ALL[2]]))
