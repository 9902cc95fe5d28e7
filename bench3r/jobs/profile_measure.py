"""The cost of one predictor: calls in turn, memory, counts, and what makes a record doubtful."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from bench3r.api.method import CountedPredictor, Predictor
from bench3r.attention.float8 import StoredLinear
from bench3r.jobs.failures import failure
from bench3r.measure import flops
from bench3r.measure.kernels import attention_kernels
from bench3r.measure.nvidia import energy_of, find_gpu
from bench3r.measure.pairs import spread_reason
from bench3r.measure.roofline import measured_ceiling
from bench3r.measure.rungs import rung_of_run
from bench3r.measure.trackers import MemoryTracker, time_in_turn
from bench3r.models.backbones import BackbonePredictor
from bench3r.models.layers import cost_depends_on_content
from bench3r.models.trunk import Schedule
from bench3r.run.config import RunConfig
from bench3r.run.plan import ProfileEntry
from bench3r.run.provenance import provenance
from bench3r.run.records import ProfileRecord

FLOOR_SLACK = 1.5  # some convolutions multiply less than they are counted for
NOT_COUNTED = "its predictor does not say what to count: `build` needs `counted` beside it"
NO_ROOM = "did not fit beside the method in memory or time"
# Parts that a predictor may time itself, in the facts of what it returns.
PHASES = ("network", "alignment")

Call = Callable[[], Any]  # one forward pass
MakeOther = Callable[[], Predictor]  # makes what is timed beside a method


def cycle_calls(predictor: Predictor, inputs: list[Tensor]) -> Call:
    """A function that runs the whole model on the next of ``inputs``, each [1, S, 3, H, W]."""
    turn = itertools.cycle(inputs)
    return lambda: predictor(next(turn))


def recording(call: Call, record: ProfileRecord) -> Call:
    """``call``, with the phases that it reports appended to ``record``."""

    def run() -> object:
        out = call()
        for phase in PHASES:
            if f"{phase}_seconds" in out.facts:
                record.phase_seconds.setdefault(phase, []).append(out.facts[f"{phase}_seconds"])
                record.phase_peak_bytes.setdefault(phase, out.facts[f"{phase}_peak_bytes"])
        return out

    return run


def trunk_calls(predictor: object, inputs: list[Tensor]) -> Call | None:
    """As :func:`cycle_calls` for the trunk alone, with ``inputs`` [1, S, 3, H, W].

    None when the predictor has none.
    """
    if not isinstance(predictor, BackbonePredictor):
        return None
    turn = itertools.cycle(inputs)
    return lambda: predictor.model.run_trunk(next(turn))


def start_record(entry: ProfileEntry, config: RunConfig, inputs: list[Tensor]) -> ProfileRecord:
    """A record without numbers yet, of ``inputs`` [1, S, 3, H, W]."""
    return ProfileRecord(
        cell=entry.id,
        key=entry.key,
        status="ok",
        frames=entry.frames,
        warmup=config.profile.warmup,
        rung=rung_of_run(config.precision),
        offload_taps=config.offload_taps,
        image_size=(inputs[0].shape[-2], inputs[0].shape[-1]),
        provenance=provenance(config.device),
    )


def measure(
    entry: ProfileEntry,
    config: RunConfig,
    inputs: list[Tensor],
    predictor: Predictor,
    make_reference: MakeOther | None,
    make_without_fp8: MakeOther | None = None,
) -> ProfileRecord:
    """The cost record of ``predictor`` on ``inputs``, each [1, S, 3, H, W], taken in turn.

    The unchanged backbone is timed call by call beside it: what a method saves is not left to how
    two processes met the machine. So is the same method without the FP8 that it uses. They are made
    only after the method's memory was measured, so that their weights are no part of that.
    """
    record = start_record(entry, config, inputs)
    call = recording(cycle_calls(predictor, inputs), record)
    with torch.inference_mode():
        first_call(record, call, config.device)
        before = measured_ceiling(config.device, config.precision)
        reference = beside(make_reference, inputs)
        if make_reference is not None and not reference:
            record.missing["reference_seconds"] = NO_ROOM
        plain = beside(make_without_fp8, inputs)
        warmup = config.profile.warmup * len(inputs)
        times = _times([call, *reference, *plain], config, warmup)
        record.seconds = times.pop(0)
        record.reference_seconds = times.pop(0) if reference else []
        record.without_fp8_seconds = times.pop(0) if plain else []
        trunk = trunk_calls(predictor, inputs)
        if trunk:
            record.trunk_seconds = _times([trunk], config, 1)[0]
        if config.device == "cuda":
            measure_energy(record, cycle_calls(predictor, inputs))
    _count(record, predictor, inputs)
    with torch.inference_mode():
        record.attention = attention_kernels(cycle_calls(predictor, inputs))
    after = measured_ceiling(config.device, config.precision)
    record.ceiling = {name: max(before[name], rate) for name, rate in after.items()}
    for phase, seconds in record.phase_seconds.items():
        record.phase_seconds[phase] = seconds[-len(record.seconds) :]
    record.suspect = suspect_reasons(record)
    return record


def _times(calls: list[Call], config: RunConfig, warmup: int) -> list[list[float]]:
    """Seconds of ``calls`` in turn, as often as the run measures."""
    how = config.profile
    return time_in_turn(calls, config.device, warmup, how.repeats, how.seconds)


def beside(make: MakeOther | None, inputs: list[Tensor]) -> list[Call]:
    """The call of what is timed beside a method on ``inputs`` [1, S, 3, H, W], in a list.

    An empty one where there is none or it does not fit: that the method fits there is no failure
    of the method.
    """
    if make is None:
        return []
    try:
        call = cycle_calls(make(), inputs)
        call()
    except Exception as error:
        if failure(error)[0] != "oom":
            raise
        return []
    return [call]


def first_call(record: ProfileRecord, call: Call, device: str) -> None:
    """Run ``call`` for the first time in this process and note its peaks of memory."""
    with MemoryTracker(device) as memory:
        call()
    record.baseline_rss_bytes = memory.baseline_rss
    record.peak_rss_bytes = memory.peak_rss
    record.peak_gpu_bytes = memory.peak_gpu
    record.baseline_gpu_bytes = memory.baseline_gpu
    record.peak_gpu_reserved_bytes = memory.peak_reserved
    record.peak_gpu_driver_bytes = memory.peak_driver


def measure_energy(record: ProfileRecord, call: Call) -> None:
    """Energy of a call and the GPU's state, or why they are not known."""
    gpu = find_gpu()
    if isinstance(gpu, str):
        record.gpu_state = {"unknown": gpu}
    else:
        record.energy_j, record.gpu_state = energy_of(call, gpu)


def _count(record: ProfileRecord, predictor: object, inputs: list[Tensor]) -> None:
    """Parameters and FLOPs (mean over the inputs) of predictors that say what to count."""
    if not isinstance(predictor, CountedPredictor):
        record.missing["flops"] = NOT_COUNTED
        return
    model = predictor.counted(inputs[0])
    record.parameters = sum(p.numel() for p in model.parameters())
    record.weight_bytes = sum(t.numel() * t.element_size() for t in stored_tensors(model))
    routed = type(getattr(model, "schedule", Schedule())) is not Schedule
    dynamic = routed or cost_depends_on_content(model)
    counted = [flops.count(model, images) for images in (inputs if dynamic else inputs[:1])]
    record.macs = round(sum(c.macs for c in counted) / len(counted))
    record.flops = 2 * record.macs
    split = [flops.parts(model, c.by_module) for c in counted]
    for name in sorted({name for parts in split for name in parts}):
        total = sum(parts.get(name, 0) for parts in split)
        record.flops_by_part[name] = round(2 * total / len(split))
    record.parameters_by_part = flops.parameter_parts(model)


def stored_tensors(model: nn.Module) -> list[Tensor]:
    """The tensors that take memory as weights: parameters, and buffers that stand for some."""
    tensors: list[Tensor] = list(model.parameters())
    for module in model.modules():
        if isinstance(module, StoredLinear):
            tensors += module.buffers()
    return tensors


def suspect_reasons(record: ProfileRecord) -> list[str]:
    """What makes a record doubtful."""
    reasons = []
    if record.macs == 0:
        reasons.append("the FLOP count is zero")
    reasons += _suspect_times(record)
    peak = record.peak_gpu_bytes or record.peak_rss_bytes  # where the weights lie
    if peak and record.weight_bytes and peak < record.weight_bytes:
        reasons.append("the memory peak is below the weights")
    throttled = _listed(record.gpu_state.get("throttled_by"))
    if throttled:
        reasons.append(f"the GPU was slowed down by {' and '.join(throttled)}")
    others = _listed(record.gpu_state.get("other_processes"))
    if others:
        reasons.append(f"{len(others)} other processes used the GPU")
    return reasons


def _suspect_times(record: ProfileRecord) -> list[str]:
    reasons = list(filter(None, [spread_reason("calls", record.seconds)]))
    times = torch.tensor(record.seconds)
    if len(times) and record.ceiling and record.flops:
        floor = record.flops / record.ceiling["flops"]
        if float(times.median()) < floor / FLOOR_SLACK:
            reasons.append(f"latency is below the roofline floor of {floor:.3g} s")
    return reasons


def _listed(value: JsonValue) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else []
