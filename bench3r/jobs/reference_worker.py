"""One cost measurement with random weights and random images: cost depends on neither.

Run by benchmarks/reference.py in a process of its own per case, with nothing but torch, numpy,
scipy, fvcore, pydantic and psutil installed. Routed methods get a given distribution of recursion
depths, because a random router has none worth timing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench3r.api.errors import Bench3RError, Unsupported
from bench3r.api.method import BuildContext, CountedPredictor, Method, Predictor, cost_of
from bench3r.files import digest, write_json
from bench3r.jobs.failures import failure
from bench3r.jobs.profile_measure import Call, first_call, measure_energy, suspect_reasons
from bench3r.jobs.tasks import ReferenceCase, ReferenceTask, read_task
from bench3r.measure.allocator import keep_freed_memory
from bench3r.measure.kernels import attention_kernels
from bench3r.measure.ladder import inputs_on, on_rung, put_on, why_unsupported
from bench3r.measure.roofline import measured_ceiling
from bench3r.measure.rungs import Rung, rung_of_run
from bench3r.measure.trackers import time_calls
from bench3r.models.backbones import BackbonePredictor, build_predictor
from bench3r.models.catalogue import unchanged_cost
from bench3r.recursion.cost import USUAL_DEPTHS
from bench3r.recursion.schedule import RecursiveSchedule, Routing
from bench3r.run.context import method_of
from bench3r.run.provenance import provenance
from bench3r.run.records import USER_ERROR, ProfileRecord


def hold_depths(schedule: nn.Module, shares: tuple[float, ...]) -> None:
    """Make a recursive ``schedule`` spread its patches over recursion depths by ``shares``.

    They are the shares of patches at recursion depth 1, 2, ...; the router still runs.
    """
    route: Callable[[Tensor], Routing] = schedule.route  # type: ignore[assignment]

    def held(inputs: Tensor) -> Routing:
        routing = route(inputs)
        weights = torch.tensor(shares[: routing.deepest])
        weights[-1] += sum(shares[routing.deepest :])
        generator = torch.Generator().manual_seed(0)
        count = routing.depth.numel()
        drawn = torch.multinomial(weights, count, replacement=True, generator=generator) + 1
        routing.depth = drawn.view(routing.depth.shape).to(routing.depth)
        return routing

    schedule.route = held  # type: ignore[assignment]


class Calls(NamedTuple):
    """The whole model, and its trunk alone where it has one, as functions without arguments."""

    whole: Call
    trunk: Call | None


def reference_record(case: ReferenceCase) -> ProfileRecord:
    """The record of ``case``.

    FLOPs come from the method's closed form, which tests hold equal to counts. Of pairwise models
    only the network is timed: random point maps cannot be aligned. A failure becomes a record.
    Raises Bench3RError when there is no GPU.
    """
    if case.device == "cuda" and not torch.cuda.is_available():
        raise Bench3RError("device: cuda, but torch sees no GPU here")
    keep_freed_memory()
    record = ProfileRecord(
        cell=case.id,
        key=case_key(case),
        status="ok",
        frames=case.frames,
        warmup=case.warmup,
        image_size=case.size,
        provenance=provenance(case.device),
    )
    method = method_of(case.method, case.options)
    try:
        _measure(record, case, method)
    except Exception as error:
        record.status, record.reason = failure(error)
    return record


def case_key(case: ReferenceCase) -> str:
    """The hash of a case."""
    named = case.model_dump(mode="json")
    if case.rung is None:
        del named["rung"]  # as before there was a ladder
    return digest(named)


def _measure(record: ProfileRecord, case: ReferenceCase, method: Method) -> None:
    """Time, memory, energy and FLOPs of ``case``, into ``record``.

    Raises Unsupported for a rung of the ladder that the device lacks.
    """
    device = case.device
    record.rung = case.rung or rung_of_run(case.precision)
    reason = why_unsupported(record.rung, device)
    if reason:
        raise Unsupported(reason)
    context = BuildContext(case.backbone, case.scale, device, case.precision)
    predictor = build_predictor(method, context)
    images = torch.rand(1, case.frames, 3, *case.size, device=device)
    record.assumed = _assumptions(predictor)
    calls = _calls(predictor, images)
    if case.rung is not None:
        calls = _calls_on_rung(predictor, case.rung, images)
    with torch.inference_mode():
        first_call(record, calls.whole, device)
        record.seconds = time_calls(calls.whole, device, case.warmup, case.repeats, case.seconds)
        if calls.trunk:
            record.trunk_seconds = time_calls(calls.trunk, device, 1, case.repeats, case.seconds)
        if device == "cuda":
            measure_energy(record, calls.whole)
        record.attention = attention_kernels(calls.trunk or calls.whole)
    _sizes(record, predictor, images)
    _flops(record, method, case)
    record.ceiling = measured_ceiling(device, case.precision)
    record.suspect = suspect_reasons(record)


def _assumptions(predictor: Predictor) -> str:
    """Hold what depends on content to a given value; says which."""
    schedule = getattr(getattr(predictor, "model", None), "schedule", None)
    if not isinstance(schedule, RecursiveSchedule):
        return ""
    hold_depths(schedule, USUAL_DEPTHS)
    shares = " ".join(f"{s:.2f}" for s in USUAL_DEPTHS)
    return (
        f"shares of patches at depth 1, 2, ... given as {shares} (SpatialMoR's Table V, averaged)"
    )


def _calls(predictor: Predictor, images: Tensor) -> Calls:
    if isinstance(predictor, BackbonePredictor):
        return Calls(lambda: predictor(images), lambda: predictor.model.run_trunk(images))
    if isinstance(predictor, CountedPredictor):
        network = predictor.counted(images)
        return Calls(lambda: network(images), None)
    return Calls(lambda: predictor(images), None)


def _calls_on_rung(predictor: Predictor, rung: Rung, images: Tensor) -> Calls:
    """As :func:`_calls` of an unchanged backbone on a ``rung`` of the ladder.

    Raises ValueError for what is none.
    """
    if not isinstance(predictor, BackbonePredictor):
        raise ValueError(f"{rung}: rungs of the ladder are of unchanged backbones")
    put_on(predictor.model, rung)
    calls = _calls(predictor, inputs_on(rung, [images])[0])
    assert calls.trunk is not None
    return Calls(on_rung(rung, calls.whole), on_rung(rung, calls.trunk))


def _sizes(record: ProfileRecord, predictor: Predictor, images: Tensor) -> None:
    if isinstance(predictor, CountedPredictor):
        parameters = list(predictor.counted(images).parameters())
        record.parameters = sum(p.numel() for p in parameters)
        record.weight_bytes = sum(p.numel() * p.element_size() for p in parameters)


def _flops(record: ProfileRecord, method: Method, case: ReferenceCase) -> None:
    found = cost_of(method, unchanged_cost(case.backbone, case.scale, case.frames, case.size))
    record.macs = round(found.macs)
    record.flops = 2 * record.macs
    record.flops_by_part = {part: round(2 * macs) for part, macs in found.parts.items()}


def main(file: Path) -> None:
    """Measure the case in ``file`` and write the record where it says.

    Raises Bench3RError when there is no GPU.
    """
    task = read_task(file, ReferenceTask)
    torch.set_num_threads(task.threads)
    case = ReferenceCase.model_validate(task.model_dump(exclude={"out"}))
    record = reference_record(case).model_dump(mode="json")
    write_json(task.out, {"case": case.model_dump(mode="json"), **record})


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Bench3RError as error:
        print(error, file=sys.stderr)
        sys.exit(USER_ERROR)
