"""What a cost measurement does inside its process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from bench3r.api.method import BuildContext
from bench3r.attention.float8 import StoredLinear
from bench3r.jobs import profile_measure, profile_worker
from bench3r.models.backbones import load_backbone
from bench3r.run.config import RunConfig
from bench3r.run.context import Trained, context_of, method_of


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
    record = profile_measure.measure(entry, config, images, own, lambda: make("dense"))
    assert made == [1], "after the first call, whose memory is noted"
    assert order.count("dense") == 1 + 1 + 2
    assert (len(record.seconds), len(record.reference_seconds)) == (2, 2)
    record = profile_measure.measure(entry, config, images, own, lambda: make("too large"))
    assert (record.status, len(record.seconds), record.reference_seconds) == ("ok", 2, [])
    assert "did not fit" in record.missing["reference_seconds"]
    assert "`counted`" in record.missing["flops"]  # a predictor that does not say what to count


@pytest.mark.parametrize("offload", [False, True])
def test_taps_on_the_host_are_a_setting_that_records_name(offload):
    config = RunConfig(name="x", methods={"vggt": {}}, datasets={}, offload_taps=offload)
    entry = SimpleNamespace(id="e", key="k", frames=2, backbone="vggt", scale="tiny")
    record = profile_measure.start_record(entry, config, [torch.zeros(1, 2, 3, 14, 14)])
    assert record.offload_taps == offload
    shipped = context_of(entry, config, Trained())
    assert load_backbone(shipped).offload_taps == offload


def test_fp8_is_timed_beside_the_same_method_without_it():
    order = []
    entry = SimpleNamespace(id="e", key="k", frames=2, backbone="vggt", scale="tiny")
    how = {"warmup": 1, "repeats": 2}
    config = RunConfig(name="x", methods={"vggt": {}}, datasets={}, profile=how)
    images = [torch.zeros(1, 2, 3, 14, 14)]
    own, dense, plain = (Predictor(name, order) for name in ("own", "dense", "plain"))
    record = profile_measure.measure(entry, config, images, own, lambda: dense, lambda: plain)
    turn = ["own", "dense", "plain"]  # a warm-up, and two rounds of which the second runs backwards
    assert order[order.index("plain") + 1 :][:9] == [*turn, *turn, *turn[::-1]]
    assert len(record.without_fp8_seconds) == len(record.reference_seconds) == 2
    record = profile_measure.measure(entry, config, images, own, None, lambda: plain)
    assert (len(record.without_fp8_seconds), record.reference_seconds) == (2, [])


FP8 = {
    "fp8_weight_only": "bf16_dense",
    "sla_block_fp8": "sla_block",
    "sla_block_fp8_weight_only": "sla_block",
}


@pytest.mark.parametrize("variant", ["bf16_dense", "sla_block", "sla_linear_only", *FP8])
def test_a_method_knows_what_it_is_without_fp8(variant):
    context = BuildContext("vggt", "tiny")
    method = method_of("lite3r", {"variant": variant, "block": 16})
    make = profile_worker.without_fp8(method, context)
    if variant not in FP8:
        assert make is None
        return
    assert method.without_fp8().options == method.options.model_copy(
        update={"variant": FP8[variant]}
    )
    layers = [type(m).__name__ for m in make().model.modules()]
    stored = {m.weight.dtype for m in make().model.modules() if isinstance(m, StoredLinear)}
    assert torch.float8_e4m3fn not in stored
    assert ("SparseLinearCore" in layers) == variant.startswith("sla")
