"""Views of one scene over several processes: two are as one."""

from __future__ import annotations

import pytest

from bench3r.api.errors import Bench3RError
from tests.helpers.changed import method
from tests.helpers.processes import run_processes

SHARED = """
import copy
from pathlib import Path
from bench3r.models.weights import load_strict, read_state_dict
from bench3r.models.vggt.config import VGGT_SCALES
from bench3r.models.vggt.network import VGGT
from bench3r.training.config import FinetuneConfig
from bench3r.training.trainer import Trainer
from tests.helpers.changed import WEIGHTS, method
from tests.helpers.training import stream

torch.manual_seed(0)
memory = method("vgg_t3", short_conv={short_conv})
alone = VGGT(VGGT_SCALES["tiny"]())
load_strict(alone, read_state_dict(WEIGHTS), "tiny")
memory.apply(alone)
shared = copy.deepcopy(alone)
shards = memory.shard_views(shared)
images = torch.rand(2, 3, 3, 48, 64)  # three views: two of them in the second process
shards.start(3)
assert [part.stop for part in shards.slices()] == [1, 3]
losses, gradients = [], []
for model in (alone.train(), shared.train()):
    out, layout = model.run_trunk(images)
    assert layout.views == 3
    result = model.run_heads(out, layout, images)
    loss = result.depth.square().mean() + result.extrinsics.square().mean()
    loss.backward()
    losses.append(loss.detach())
    gradients.append([p.grad for p in model.parameters() if p.grad is not None])
torch.testing.assert_close(losses[1], losses[0])
assert len(gradients[0]) == len(gradients[1]) > 10
for one, mine in zip(*gradients, strict=True):
    dist.all_reduce(mine)  # as DistributedDataParallel averages them
    torch.testing.assert_close(mine / 2, one, atol=1e-5, rtol=1e-3)

config = FinetuneConfig(
    steps=2, warmup=1, view_counts=(4,), shard_views=True, activation_checkpointing=True
)
batches = lambda _: stream(4, 4)
trainer = Trainer(shared, config, Path("run"), batches, shards=shards)
trainer.run()
mine = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
other = [torch.zeros_like(mine) for _ in range(2)]
dist.all_gather(other, mine)
assert torch.equal(*other)
assert trainer.scenes == 2
"""


@pytest.mark.parametrize("short_conv", [True, False])
def test_two_processes_with_their_own_views_equal_one(tmp_path, short_conv):
    run_processes(tmp_path, SHARED.format(short_conv=short_conv))


def test_what_sees_all_views_at_once_cannot_be_shared(tiny):
    partly = method("vgg_t3", layers=2)
    partly.apply(tiny)
    with pytest.raises(Bench3RError, match="cannot be shared"):
        partly.shard_views(tiny)
    with pytest.raises(Bench3RError, match="lite3r: views cannot be shared"):
        method("lite3r").shard_views(tiny)
