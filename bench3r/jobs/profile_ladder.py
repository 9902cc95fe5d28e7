"""The ladder of baselines: the unchanged backbone on every rung, in turn with the run's own."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from torch import Tensor

from bench3r.api.errors import Unsupported
from bench3r.api.method import Predictor
from bench3r.jobs.failures import failure
from bench3r.jobs.profile_measure import cycle_calls, stored_tensors
from bench3r.measure.kernels import attention_kernels
from bench3r.measure.ladder import inputs_on, on_rung, put_on, why_unsupported
from bench3r.measure.rungs import SETUPS
from bench3r.measure.trackers import MemoryTracker, Timer, time_in_turn
from bench3r.models.backbones import BackbonePredictor
from bench3r.run.config import RunConfig
from bench3r.run.records import RungRecord, Status

NO_OPERATOR = "not implemented for"  # what torch says of an operator that a precision lacks

MakeBackbone = Callable[[], BackbonePredictor]  # makes the unchanged backbone


def measure_ladder(
    config: RunConfig, inputs: list[Tensor], predictor: Predictor, make: MakeBackbone
) -> list[RungRecord]:
    """The unchanged backbone on every rung of the ladder, made anew for each.

    It runs on the ``inputs``, each [1, S, 3, H, W], in turn with ``predictor``, which is that
    backbone as the run has it. A rung that fails says so in its record, and the others follow.
    """
    found = []
    for rung in config.profile.ladder:
        record = RungRecord(rung=rung)
        found.append(record)
        left_out = config.profile.why_left_out(rung, int(inputs[0].shape[1]))
        if left_out:
            record.status, record.reason = "unsupported", left_out
            continue
        try:
            _measure_rung(record, config, inputs, predictor, make)
        except Exception as error:
            record.status, record.reason = rung_failure(error)
        gc.collect()  # an exception's frames hold tensors, and modules cycles
        if SETUPS[rung].compiled:
            torch._dynamo.reset()
        if config.device == "cuda":
            torch.cuda.empty_cache()
    return found


def rung_failure(error: Exception) -> tuple[Status, str]:
    """Status and reason of what went wrong on a rung.

    Operators that a device does not have in a precision make the rung unsupported there.
    """
    if isinstance(error, RuntimeError) and NO_OPERATOR in str(error):
        return "unsupported", f"{error}".splitlines()[0]
    return failure(error)


def _measure_rung(
    record: RungRecord,
    config: RunConfig,
    inputs: list[Tensor],
    predictor: Predictor,
    make: MakeBackbone,
) -> None:
    """Time and memory of one rung, in turn with ``predictor`` on the same inputs."""
    rung = record.rung
    device = config.device
    reason = why_unsupported(rung, device)
    if reason:
        raise Unsupported(reason)
    held = torch.cuda.memory_allocated() if device == "cuda" else 0
    changed = make()
    put_on(changed.model, rung)
    record.weight_bytes = sum(t.numel() * t.element_size() for t in stored_tensors(changed.model))
    call = on_rung(rung, cycle_calls(changed, inputs_on(rung, inputs)))
    own = cycle_calls(predictor, inputs)
    how = config.profile
    with torch.inference_mode():
        with MemoryTracker(device) as memory, Timer(device) as timer:
            call()
        record.first_seconds = timer.seconds
        if memory.peak_gpu is not None:
            record.peak_gpu_bytes = memory.peak_gpu - held
        own()  # as often as the other, so that pairs see the same input
        warmup = how.warmup * len(inputs)
        times = time_in_turn([call, own], device, warmup, how.repeats, how.seconds)
        record.seconds, record.run_seconds = times
        record.attention = attention_kernels(call)
