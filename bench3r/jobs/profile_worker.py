"""Profile: what one forward pass costs (FLOPs, time, memory) on an idle machine.

Inputs are the first scenes of the run's first dataset and the weights are the compared ones,
because adaptive methods spend what the content asks for.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from bench3r.api.errors import Bench3RError
from bench3r.api.method import BuildContext, Method, Predictor
from bench3r.data.prepared import read_prepared
from bench3r.files import write_json
from bench3r.jobs.failures import failure
from bench3r.jobs.profile_inputs import profile_inputs
from bench3r.jobs.profile_ladder import measure_ladder
from bench3r.jobs.profile_measure import (
    NO_ROOM,
    MakeOther,
    cycle_calls,
    first_call,
    measure,
    start_record,
)
from bench3r.jobs.tasks import ProfileTask, read_task
from bench3r.measure.allocator import keep_freed_memory
from bench3r.measure.trackers import Timer
from bench3r.models.backbones import BackbonePredictor, build_predictor
from bench3r.run.config import RunConfig
from bench3r.run.context import Trained, context_of, method_of
from bench3r.run.plan import ProfileEntry, read_plan
from bench3r.run.provenance import provenance
from bench3r.run.records import USER_ERROR, ProfileRecord


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
        return _measured(entry, config, inputs, trained, probe, alone)
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


def _measured(
    entry: ProfileEntry,
    config: RunConfig,
    inputs: list[Tensor],
    trained: Trained,
    probe: bool,
    alone: bool,
) -> ProfileRecord:
    """What :func:`profile` asks for, on ``inputs``, each [1, S, 3, H, W]."""
    method = method_of(entry.method, entry.options)
    context = context_of(entry, config, trained)
    predictor = build_predictor(method, context)
    if probe:
        return probe_once(entry, config, inputs, predictor)
    make = unchanged(method, predictor, context)
    if alone:
        record = measure(entry, config, inputs, predictor, None)
        if make is not None:
            record.missing["reference_seconds"] = NO_ROOM
        return record
    plain = without_fp8(method, context)
    record = measure(entry, config, inputs, predictor, make, plain)
    if method.kind == "backbone":
        again = partial(BackbonePredictor, Method(), replace(context, fitted=None))
        record.ladder = measure_ladder(config, inputs, predictor, again)
    return record


def unchanged(method: Method, predictor: Predictor, context: BuildContext) -> MakeOther | None:
    """What makes the unchanged backbone to be timed beside a plug-in; None for others."""
    if method.kind != "plugin" or not isinstance(predictor, BackbonePredictor):
        return None
    return partial(BackbonePredictor, Method(), replace(context, fitted=None))


def without_fp8(method: Method, context: BuildContext) -> MakeOther | None:
    """What makes ``method`` without the FP8 that it uses; None for one that uses none."""
    plain = method.without_fp8()
    return None if plain is None else partial(build_predictor, plain, context)


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
