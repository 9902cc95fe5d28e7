"""Profile: what one forward pass costs (FLOPs, time, memory) on an idle machine.

Inputs are the first scenes of the run's first dataset and the weights are the compared ones,
because adaptive methods spend what the content asks for.
"""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError, Unsupported
from bench3r.api.method import BuildContext, CountedPredictor, Method, Predictor
from bench3r.attention.float8 import StoredLinear
from bench3r.data.load import SceneLoader
from bench3r.data.prepared import Prepared, SceneItem, read_prepared
from bench3r.files import write_json
from bench3r.jobs.failures import failure
from bench3r.jobs.tasks import ProfileTask, read_task
from bench3r.measure import flops
from bench3r.measure.allocator import keep_freed_memory
from bench3r.measure.kernels import attention_kernels
from bench3r.measure.ladder import inputs_on, on_rung, put_on, why_unsupported
from bench3r.measure.nvidia import energy_of, find_gpu
from bench3r.measure.pairs import spread_reason
from bench3r.measure.roofline import measured_ceiling
from bench3r.measure.rungs import SETUPS, rung_of_run
from bench3r.measure.trackers import MemoryTracker, Timer, time_calls, time_in_turn
from bench3r.models.backbones import BackbonePredictor, build_predictor
from bench3r.models.catalogue import input_size
from bench3r.models.layers import cost_depends_on_content
from bench3r.models.preprocess import scene_images
from bench3r.models.trunk import Schedule
from bench3r.run.config import RunConfig
from bench3r.run.context import Trained, context_of, method_of
from bench3r.run.plan import ProfileEntry, read_plan
from bench3r.run.provenance import provenance
from bench3r.run.records import USER_ERROR, ProfileRecord, RungRecord, Status

FLOOR_SLACK = 1.5  # some convolutions multiply less than they are counted for
NO_OPERATOR = "not implemented for"  # what torch says of an operator that a precision lacks
NOT_COUNTED = "its predictor does not say what to count: `build` needs `counted` beside it"
NO_ROOM = "did not fit beside the method in memory or time"
# Parts that a predictor may time itself, in the facts of what it returns.
PHASES = ("network", "alignment")

Call = Callable[[], Any]  # one forward pass
MakeOther = Callable[[], Predictor]  # makes what is timed beside a method
MakeBackbone = Callable[[], BackbonePredictor]  # the same where it is known to be one


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


def distinct_frames(item: SceneItem, dataset: Dataset, count: int) -> list[str]:
    """``count`` frames of the scene of ``item``, none of them twice; all of it where it has fewer.

    The first of the item's own, or where those are too few, frames spread evenly over the scene.
    Raises Bench3RError when the scene cannot be read.
    """
    own = list(dict.fromkeys(item.frames))
    if len(own) >= count:
        return own[:count]
    every = dataset.frames(item.scene)
    if len(every) < count:
        return every
    return [every[i] for i in np.linspace(0, len(every) - 1, count).round().astype(int)]


def profile_inputs(entry: ProfileEntry, config: RunConfig, prepared: Prepared) -> list[Tensor]:
    """Images [1, S, 3, H, W] of the first readable scenes with ``entry.frames`` distinct views.

    Only scenes of one size, so that times can be compared. Raises Unsupported when no scene has so
    many frames, and Bench3RError when none can be read.
    """
    items = prepared.lists.get(str(entry.frames)) or prepared.longest()
    _, width, patch = input_size(config.sees(entry.backbone), entry.scale)
    loader = SceneLoader(prepared, width, patch)
    found: list[Tensor] = []
    most = 0  # frames of a scene that is too short
    for item in items:
        try:
            frames = distinct_frames(item, loader.dataset, entry.frames)
            if len(frames) < entry.frames:
                most = max(most, len(frames))
                continue
            wanted = item.model_copy(update={"frames": frames})
            images = scene_images(loader.load(wanted), config.device)
        except Bench3RError:
            continue  # a broken scene is reported where it is predicted
        if not found or images.shape == found[0].shape:
            found.append(images)
        if len(found) == config.profile.scenes:
            break
    if not found:
        raise _no_inputs(prepared, entry.frames, most)
    return found


def _no_inputs(prepared: Prepared, frames: int, most: int) -> Bench3RError:
    """Why there is nothing to measure on: ``most`` frames at most, or (0) nothing is readable."""
    if most:
        known = f"no scene of {prepared.name} has {frames:,} distinct frames"
        return Unsupported(f"{known}; the longest has {most:,}")
    return Bench3RError(f"{prepared.name}: no scene can be read, so there is nothing to measure on")


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
    how = config.profile
    record = start_record(entry, config, inputs)
    call = recording(cycle_calls(predictor, inputs), record)
    with torch.inference_mode():
        first_call(record, call, config.device)
        reference = beside(make_reference, inputs)
        plain = beside(make_without_fp8, inputs)
        warmup = how.warmup * len(inputs)
        calls = [call, *reference, *plain]
        times = time_in_turn(calls, config.device, warmup, how.repeats, how.seconds)
        record.seconds = times.pop(0)
        record.reference_seconds = times.pop(0) if reference else []
        if make_reference is not None and not reference:
            record.missing["reference_seconds"] = NO_ROOM
        record.without_fp8_seconds = times.pop(0) if plain else []
        trunk = trunk_calls(predictor, inputs)
        if trunk:
            record.trunk_seconds = time_calls(trunk, config.device, 1, how.repeats, how.seconds)
        if config.device == "cuda":
            measure_energy(record, cycle_calls(predictor, inputs))
    for phase, seconds in record.phase_seconds.items():
        record.phase_seconds[phase] = seconds[-len(record.seconds) :]
    _count(record, predictor, inputs)
    with torch.inference_mode():
        record.attention = attention_kernels(cycle_calls(predictor, inputs))
    record.ceiling = measured_ceiling(config.device, config.precision)
    record.suspect = suspect_reasons(record)
    return record


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
    record.weight_bytes = sum(t.numel() * t.element_size() for t in _stored(changed.model))
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
    record.weight_bytes = sum(t.numel() * t.element_size() for t in _stored(model))
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


def _stored(model: nn.Module) -> list[Tensor]:
    """The tensors that take memory as weights: parameters, and buffers that stand for some."""
    tensors: list[Tensor] = list(model.parameters())
    for module in model.modules():
        if isinstance(module, StoredLinear):
            tensors += module.buffers()
    return tensors


def unchanged(method: Method, predictor: Predictor, context: BuildContext) -> MakeOther | None:
    """What makes the unchanged backbone to be timed beside a plug-in; None for others."""
    if method.kind != "plugin" or not isinstance(predictor, BackbonePredictor):
        return None
    return partial(BackbonePredictor, Method(), replace(context, fitted=None))


def without_fp8(method: Method, context: BuildContext) -> MakeOther | None:
    """What makes ``method`` without the FP8 that it uses; None for one that uses none."""
    plain = method.without_fp8()
    return None if plain is None else partial(build_predictor, plain, context)


def profile(
    entry: ProfileEntry,
    config: RunConfig,
    prepared: Path,
    trained: Trained,
    probe: bool = False,
    alone: bool = False,
) -> ProfileRecord:
    """As :func:`measure` with the run's data and weights; a failure becomes a record.

    ``probe``: only whether ``entry.frames`` fit, with the time and memory of one call. ``alone``:
    without the unchanged backbone, or its ladder, beside the method. Raises Bench3RError when there
    is no GPU.
    """
    keep_freed_memory()
    if config.device == "cuda" and not torch.cuda.is_available():
        raise Bench3RError("device: cuda, but torch sees no GPU here")
    try:
        inputs = profile_inputs(entry, config, read_prepared(prepared))
        method = method_of(entry.method, entry.options)
        context = context_of(entry, config, trained)
        predictor = build_predictor(method, context)
        if probe:
            return probe_once(entry, config, inputs, predictor)
        reference = unchanged(method, predictor, context)
        plain = without_fp8(method, context)
        if alone:
            record = measure(entry, config, inputs, predictor, None)
            if reference is not None:
                record.missing["reference_seconds"] = NO_ROOM
        else:
            record = measure(entry, config, inputs, predictor, reference, plain)
        if method.kind == "backbone" and not alone:
            make = partial(BackbonePredictor, Method(), replace(context, fitted=None))
            record.ladder = measure_ladder(config, inputs, predictor, make)
        return record
    except Exception as error:
        status, reason = failure(error)
        return ProfileRecord(
            cell=entry.id,
            key=entry.key,
            status=status,
            reason=reason,
            frames=entry.frames,
            provenance=provenance(config.device),
        )


def probe_once(
    entry: ProfileEntry, config: RunConfig, inputs: list[Tensor], predictor: Predictor
) -> ProfileRecord:
    """Time and memory of one call on the first of ``inputs`` [1, S, 3, H, W]."""
    record = start_record(entry, config, inputs)
    call = cycle_calls(predictor, inputs)
    with torch.inference_mode(), Timer(config.device) as timer:
        first_call(record, call, config.device)
    record.seconds = [timer.seconds]
    return record


def main(file: Path) -> None:
    """The work of one process, as :mod:`bench3r.jobs.profile` describes it in ``file``.

    Raises Bench3RError when there is no GPU.
    """
    task = read_task(file, ProfileTask)
    plan = read_plan(task.plan)
    entry = plan.profile(task.profile).model_copy(update={"frames": task.frames})
    torch.set_num_threads(task.threads)
    trained = Trained(task.base, task.fitted)
    record = profile(entry, plan.config, task.prepared, trained, task.probe, task.alone)
    write_json(task.out, record.model_dump(mode="json"))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Bench3RError as error:  # a mistake of the user, no result of the method
        print(error, file=sys.stderr)
        sys.exit(USER_ERROR)
