"""The training loop: learning rate, settings of large scales, losses that are not finite."""

from __future__ import annotations

import pytest
import torch

from bench3r.models.vggt.config import VGGT_SCALES
from bench3r.models.vggt.network import VGGT
from bench3r.training.config import TrainConfig
from bench3r.training.initialisation import initialise
from bench3r.training.optimisation import learning_rate
from bench3r.training.step import TrainStep
from bench3r.training.trainer import Trainer, checkpoint_blocks
from tests.helpers.training import QUICK, stream


def test_learning_rate_warms_up_and_falls():
    config = TrainConfig(steps=100, warmup=10, lr=1.0, final_lr=0.01)
    rates = [learning_rate(s, config) for s in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.01)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


@pytest.mark.parametrize(
    "settings", [{"activation_checkpointing": True}, {"precision": "bf16"}, {"accumulate": 2}]
)
def test_settings_for_large_scales_train(tmp_path, settings):
    torch.manual_seed(0)
    model = VGGT(VGGT_SCALES["tiny"]())
    initialise(model)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    config = TrainConfig(steps=2, **QUICK, **settings)
    trainer = Trainer(model, config, tmp_path, lambda first: stream(4, 2))
    trainer.run()
    after = trainer.model.state_dict()
    assert after.keys() == before.keys()  # checkpointing blocks must not rename parameters
    moved = [k for k in before if not torch.equal(before[k], after[k])]
    assert len(moved) > 100


def test_checkpointing_does_not_change_gradients(tiny):
    batch = next(stream(4, 2))
    gradients = []
    for wrap in (False, True):
        if wrap:
            checkpoint_blocks(tiny)
        tiny.zero_grad()
        TrainStep(tiny.train(), TrainConfig())(batch, torch.arange(2))["total"].backward()
        gradients.append([p.grad.clone() for p in tiny.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_checkpoint(tmp_path, tiny):
    config = TrainConfig(steps=5, **QUICK)
    batch = next(stream(4, 2))
    batch.depth = batch.depth * float("nan")
    batch.points = batch.points * float("nan")
    batch.images = batch.images * float("nan")
    trainer = Trainer(tiny, config, tmp_path, lambda first: iter([batch] * 5))
    with pytest.raises(FloatingPointError, match="loss is nan"):
        trainer.run()
    assert not (tmp_path / "checkpoint.pt").exists()
