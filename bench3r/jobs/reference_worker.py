"""One cost measurement with random weights and random images: time and memory do not depend on either.

Run by benchmarks/reference.py in a process of its own per case, with nothing but torch, numpy, scipy, fvcore, pydantic
and psutil installed. Routed methods get a given distribution of depths, because a random router has none worth timing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS, BuildContext, CountedPredictor, Method, cost_of
from bench3r.files import digest, read_json, write_json
from bench3r.jobs.predict_worker import failure
from bench3r.jobs.profile_worker import first_call, measure_energy, suspect_reasons
from bench3r.measure.allocator import keep_freed_memory
from bench3r.measure.roofline import measured_ceiling
from bench3r.measure.trackers import time_calls
from bench3r.models.backbones import BackbonePredictor, build_predictor
from bench3r.models.catalogue import input_size, unchanged_cost
from bench3r.recursion.cost import USUAL_DEPTHS
from bench3r.recursion.schedule import RecursiveSchedule, Routing
from bench3r.run.provenance import provenance
from bench3r.run.records import USER_ERROR, ProfileRecord


def hold_depths(schedule: nn.Module, shares: tuple[float, ...]) -> None:
    """Make a recursive ``schedule`` spread its patches over depth 1, 2, ... by ``shares``; the router still runs."""
    route: Any = schedule.route

    def held(inputs: Any) -> Routing:
        routing: Routing = route(inputs)
        weights = torch.tensor(shares[: routing.deepest])
        weights[-1] += sum(shares[routing.deepest :])
        generator = torch.Generator().manual_seed(0)
        drawn = (
            torch.multinomial(weights, routing.depth.numel(), replacement=True, generator=generator)
            + 1
        )
        routing.depth = drawn.view(routing.depth.shape).to(routing.depth)
        return routing

    schedule.route = held  # type: ignore[assignment]


def reference_record(case: dict[str, Any]) -> ProfileRecord:
    """The record of ``case``: method, options, backbone, scale, frames, size (H, W), device, precision, repeats, seconds.

    FLOPs come from the method's closed form, which tests hold equal to counts. Of pairwise models only the network is
    timed: random point maps cannot be aligned. A failure becomes a record.
    """
    device, precision = case["device"], case["precision"]
    if device == "cuda" and not torch.cuda.is_available():
        raise Bench3RError("device: cuda, but torch sees no GPU here")
    keep_freed_memory()
    record = ProfileRecord(
        cell=case["id"],
        key=digest(case),
        status="ok",
        frames=case["frames"],
        warmup=case["warmup"],
        image_size=tuple(case["size"]),
        provenance=provenance(device),
    )
    cls = METHODS.get(case["method"])
    method = cls(cls.Options.model_validate(case["options"]))
    try:
        context = BuildContext(case["backbone"], case["scale"], device, precision)
        predictor = build_predictor(method, context)
        images = torch.rand(1, case["frames"], 3, *case["size"], device=device)
        record.assumed = _assumptions(predictor)
        call, trunk = _calls(predictor, images)
        with torch.inference_mode():
            first_call(record, call, device)
            record.seconds = time_calls(
                call, device, case["warmup"], case["repeats"], case["seconds"]
            )
            if trunk:
                record.trunk_seconds = time_calls(
                    trunk, device, 1, case["repeats"], case["seconds"]
                )
            if device == "cuda":
                measure_energy(record, call)
        _sizes(record, predictor, images)
        _flops(record, method, case)
        record.ceiling = measured_ceiling(device, precision)
        record.suspect = suspect_reasons(record)
    except Exception as error:
        record.status, record.reason = failure(error)
    return record


def _assumptions(predictor: Any) -> str:
    """Hold what depends on content to a given value; says which."""
    schedule = getattr(getattr(predictor, "model", None), "schedule", None)
    if not isinstance(schedule, RecursiveSchedule):
        return ""
    hold_depths(schedule, USUAL_DEPTHS)
    shares = " ".join(f"{s:.2f}" for s in USUAL_DEPTHS)
    return (
        f"shares of patches at depth 1, 2, ... given as {shares} (SpatialMoR's Table V, averaged)"
    )


def _calls(predictor: Any, images: Tensor) -> tuple[Any, Any]:
    """The whole model, and its trunk alone where it has one, as functions without arguments."""
    if isinstance(predictor, BackbonePredictor):
        return lambda: predictor(images), lambda: predictor.model.run_trunk(images)
    if isinstance(predictor, CountedPredictor):
        network = predictor.counted(images)
        return lambda: network(images), None
    return lambda: predictor(images), None


def _sizes(record: ProfileRecord, predictor: Any, images: Tensor) -> None:
    if isinstance(predictor, CountedPredictor):
        parameters = list(predictor.counted(images).parameters())
        record.parameters = sum(p.numel() for p in parameters)
        record.weight_bytes = sum(p.numel() * p.element_size() for p in parameters)


def _flops(record: ProfileRecord, method: Method, case: dict[str, Any]) -> None:
    height, width = case["size"]
    found = cost_of(
        method, unchanged_cost(case["backbone"], case["scale"], case["frames"], (height, width))
    )
    record.macs = round(found.macs)
    record.flops = 2 * record.macs
    record.flops_by_part = {k: round(2 * v) for k, v in found.parts.items()}


def typical_size(backbone: str, scale: str) -> tuple[int, int]:
    """Image height and width at which the official figures of VGGT were measured, at ``full``; else the scale's own."""
    height, width, _ = input_size(backbone, scale)
    return (336, 518) if (backbone, scale) == ("vggt", "full") else (height, width)


def main(job: Path) -> None:
    """Measure the case in ``job`` and write the record where it says."""
    case = read_json(job)
    torch.set_num_threads(case["threads"])
    write_json(
        Path(case.pop("out")), {"case": case, **reference_record(case).model_dump(mode="json")}
    )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Bench3RError as error:
        print(error, file=sys.stderr)
        sys.exit(USER_ERROR)
