"""What a cost measurement does inside its process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from bench3r.jobs import profile_worker
from bench3r.models.backbones import load_backbone
from bench3r.run.config import RunConfig
from bench3r.run.context import Trained, context_of


class Predictor:
    """Notes who was called; too large a one runs out of memory."""

    def __init__(self, name, order):
        self.name = name
        self.order = order

    def __call__(self, images):
        self.order.append(self.name)
        if self.name == "too large":
            raise MemoryError("out of memory")
        return SimpleNamespace(facts={}, extras={})


def test_the_backbone_beside_a_method_is_no_part_of_its_memory():
    """It is made after the method's first call; where it does not fit, the method goes without."""
    made = []
    order = []

    def make(name):
        made.append(len(order))
        return Predictor(name, order)

    entry = SimpleNamespace(id="e", key="k", frames=2, backbone="vggt", scale="tiny")
    how = {"warmup": 1, "repeats": 2}
    config = RunConfig(name="x", methods={"vggt": {}}, datasets={}, profile=how)
    images = [torch.zeros(1, 2, 3, 14, 14)]
    own = Predictor("own", order)
    record = profile_worker.measure(entry, config, images, own, lambda: make("dense"))
    assert made == [1], "after the first call, whose memory is noted"
    assert order.count("dense") == 1 + 1 + 2
    assert (len(record.seconds), len(record.reference_seconds)) == (2, 2)
    record = profile_worker.measure(entry, config, images, own, lambda: make("too large"))
    assert (record.status, len(record.seconds), record.reference_seconds) == ("ok", 2, [])


@pytest.mark.parametrize("offload", [False, True])
def test_taps_on_the_host_are_a_setting_that_records_name(offload):
    config = RunConfig(name="x", methods={"vggt": {}}, datasets={}, offload_taps=offload)
    entry = SimpleNamespace(id="e", key="k", frames=2, backbone="vggt", scale="tiny")
    record = profile_worker.start_record(entry, config, [torch.zeros(1, 2, 3, 14, 14)])
    assert record.offload_taps == offload
    shipped = context_of(entry, config, Trained())
    assert load_backbone(shipped).offload_taps == offload
