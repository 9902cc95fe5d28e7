"""Profile: what one forward pass costs (FLOPs, time, memory) with the machine to itself.

Inputs are the first scenes of the run's first dataset and the weights are the compared ones, because adaptive methods
spend what the content asks for.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS, BuildContext, CountedPredictor, Method, Predictor
from bench3r.attention.float8 import StoredLinear
from bench3r.data.load import load_scene
from bench3r.data.prepared import open_prepared
from bench3r.files import read_json, write_json
from bench3r.jobs.predict_worker import failure
from bench3r.measure import flops
from bench3r.measure.allocator import keep_freed_memory
from bench3r.measure.nvidia import energy_of, find_gpu
from bench3r.measure.roofline import measured_ceiling
from bench3r.measure.trackers import MemoryTracker, Timer, time_calls, time_in_turn
from bench3r.models.backbones import BackbonePredictor, build_predictor
from bench3r.models.catalogue import NO_BACKBONE, input_size
from bench3r.models.layers import cost_depends_on_content
from bench3r.models.preprocess import scene_images
from bench3r.models.trunk import Schedule
from bench3r.models.weights import resolve_base
from bench3r.run.config import RunConfig
from bench3r.run.plan import ProfileEntry
from bench3r.run.provenance import provenance
from bench3r.run.records import USER_ERROR, ProfileRecord

FLOOR_SLACK = 1.5  # some convolutions multiply less than they are counted for
VARIATION_LIMIT = 0.2  # coefficient of variation above which a latency is suspect


def cycle_calls(predictor: Predictor, inputs: list[torch.Tensor]) -> Callable[[], Any]:
    """A function that runs the whole model on the next of ``inputs``."""
    turn = itertools.cycle(inputs)
    return lambda: predictor(next(turn))


PHASES = (
    "network",
    "alignment",
)  # parts that a predictor may time itself, in the extras of what it returns


def recording(call: Callable[[], Any], record: ProfileRecord) -> Callable[[], object]:
    """``call``, with the phases that it reports appended to ``record``."""

    def run() -> object:
        out = call()
        for phase in PHASES:
            if f"{phase}_seconds" in out.extras:
                record.phase_seconds.setdefault(phase, []).append(out.extras[f"{phase}_seconds"])
                record.phase_peak_bytes.setdefault(phase, out.extras[f"{phase}_peak_bytes"])
        return out

    return run


def trunk_calls(predictor: object, inputs: list[torch.Tensor]) -> Callable[[], object] | None:
    """The same for the trunk alone, when the predictor has one."""
    turn = itertools.cycle(inputs)
    if isinstance(predictor, BackbonePredictor):
        return lambda: predictor.model.run_trunk(next(turn))
    return None


def suspect_reasons(record: ProfileRecord) -> list[str]:
    """What makes a record doubtful."""
    reasons = []
    if record.macs == 0:
        reasons.append("the FLOP count is zero")
    times = torch.tensor(record.seconds)
    if len(times) > 1 and float(times.std() / times.mean()) > VARIATION_LIMIT:
        reasons.append(f"latency varies by {float(times.std() / times.mean()):.0%}")
    if len(times) and record.ceiling and record.flops:
        floor = record.flops / record.ceiling["flops"]
        if float(times.median()) < floor / FLOOR_SLACK:
            reasons.append(f"latency is below the roofline floor of {floor:.3g} s")
    peak = record.peak_gpu_bytes or record.peak_rss_bytes  # where the weights lie
    if peak and record.weight_bytes and peak < record.weight_bytes:
        reasons.append("the memory peak is below the weights")
    if record.gpu_state.get("throttled_by"):
        reasons.append(
            f"the GPU was slowed down by {' and '.join(record.gpu_state['throttled_by'])}"
        )
    if record.gpu_state.get("other_processes"):
        reasons.append(f"{len(record.gpu_state['other_processes'])} other processes used the GPU")
    return reasons


def profile_inputs(
    entry: ProfileEntry, config: RunConfig, prepared: dict[str, Any]
) -> list[torch.Tensor]:
    """Images [1, S, 3, H, W] of the first readable scenes with ``entry.frames`` views; shorter lists start over.

    Only scenes of one size, so that times can be compared. Raises Bench3RError when no scene can be read.
    """
    lists = prepared["lists"]
    items = lists.get(str(entry.frames)) or lists[max(lists, key=int)]
    name = str(prepared["name"])
    dataset = open_prepared(prepared)
    _, width, patch = input_size(config.sees(entry.backbone), entry.scale)
    found: list[torch.Tensor] = []
    for item in items:
        frames = [item["frames"][i % len(item["frames"])] for i in range(entry.frames)]
        try:
            images = scene_images(
                load_scene(dataset, item["scene"], frames, width, patch), config.device
            )
        except Bench3RError:
            continue  # a broken scene is reported where it is predicted
        if not found or images.shape == found[0].shape:
            found.append(images)
        if len(found) == config.profile.scenes:
            break
    if not found:
        raise Bench3RError(f"{name}: no scene can be read, so there is nothing to measure on")
    return found


def measure(
    entry: ProfileEntry,
    config: RunConfig,
    inputs: list[torch.Tensor],
    predictor: Predictor,
    make_reference: Callable[[], Predictor] | None,
) -> ProfileRecord:
    """The cost record of ``predictor`` on ``inputs``, each [1, S, 3, H, W]; timed calls take them in turn.

    The unchanged backbone is timed call by call beside it: what a method saves is not left to how two processes met the
    machine. It is made only after the method's memory was measured, so that its weights are no part of that.
    """
    how = config.profile
    trunk = trunk_calls(predictor, inputs)
    record = start_record(entry, config, inputs)
    call = recording(cycle_calls(predictor, inputs), record)
    with torch.inference_mode():
        first_call(record, call, config.device)
        calls = [call, *beside(make_reference, inputs)]
        record.seconds, *others = time_in_turn(
            calls, config.device, how.warmup * len(inputs), how.repeats, how.seconds
        )
        record.reference_seconds = others[0] if others else []
        if trunk:
            record.trunk_seconds = time_calls(trunk, config.device, 1, how.repeats, how.seconds)
        if config.device == "cuda":
            measure_energy(record, cycle_calls(predictor, inputs))
    record.phase_seconds = {k: v[-len(record.seconds) :] for k, v in record.phase_seconds.items()}
    _count(record, predictor, inputs)
    record.ceiling = measured_ceiling(config.device, config.precision)
    record.suspect = suspect_reasons(record)
    return record


def beside(
    make_reference: Callable[[], Predictor] | None, inputs: list[torch.Tensor]
) -> list[Callable[[], object]]:
    """The call of the unchanged backbone, in a list; an empty one without a backbone or where it does not fit."""
    if make_reference is None:
        return []
    try:
        call = cycle_calls(make_reference(), inputs)
        call()
    except Exception as error:
        if failure(error)[0] != "oom":
            raise
        return []  # that the method fits where its backbone does not is no failure of the method
    return [call]


def start_record(
    entry: ProfileEntry, config: RunConfig, inputs: list[torch.Tensor]
) -> ProfileRecord:
    """A record without numbers yet."""
    return ProfileRecord(
        cell=entry.id,
        key=entry.key,
        status="ok",
        frames=entry.frames,
        warmup=config.profile.warmup,
        image_size=(inputs[0].shape[-2], inputs[0].shape[-1]),
        provenance=provenance(config.device),
    )


def first_call(record: ProfileRecord, call: Callable[[], object], device: str) -> None:
    """Run ``call`` for the first time in this process and note its peaks of memory."""
    with MemoryTracker(device) as memory:
        call()
    record.baseline_rss_bytes, record.peak_rss_bytes = memory.baseline_rss, memory.peak_rss
    record.peak_gpu_bytes, record.peak_gpu_reserved_bytes = memory.peak_gpu, memory.peak_reserved
    record.peak_gpu_driver_bytes = memory.peak_driver


def measure_energy(record: ProfileRecord, call: Callable[[], object]) -> None:
    """Energy of a call and the GPU's state, or why they are not known."""
    gpu = find_gpu()
    if isinstance(gpu, str):
        record.gpu_state = {"unknown": gpu}
    else:
        record.energy_j, record.gpu_state = energy_of(call, gpu)


def _count(record: ProfileRecord, predictor: object, inputs: list[torch.Tensor]) -> None:
    """Parameters and FLOPs (mean over the inputs) of predictors that say what to count; others stay without."""
    if not isinstance(predictor, CountedPredictor):
        return
    model: Any = predictor.counted(inputs[0])
    parameters = list(model.parameters())
    record.parameters = sum(p.numel() for p in parameters)
    stored = [
        *parameters,
        *(b for m in model.modules() if isinstance(m, StoredLinear) for b in m.buffers()),
    ]
    record.weight_bytes = sum(p.numel() * p.element_size() for p in stored)
    dynamic = type(
        getattr(model, "schedule", Schedule())
    ) is not Schedule or cost_depends_on_content(model)
    counted = [flops.count(model, images) for images in (inputs if dynamic else inputs[:1])]
    record.macs = round(sum(c.macs for c in counted) / len(counted))
    record.flops = 2 * record.macs
    split = [flops.parts(model, c.by_module) for c in counted]
    names = {name for s in split for name in s}
    record.flops_by_part = {
        n: round(2 * sum(s.get(n, 0) for s in split) / len(split)) for n in sorted(names)
    }
    record.parameters_by_part = flops.parameter_parts(model)


def prepare_predictor(
    entry: ProfileEntry, config: RunConfig, base: Path | None, fitted: Path | None
) -> tuple[Predictor, Callable[[], Predictor] | None]:
    """The predictor of ``entry`` with the run's weights, and what makes the unchanged backbone beside a plug-in."""
    cls = METHODS.get(entry.method)
    weights = None
    if entry.backbone != NO_BACKBONE:
        weights = resolve_base(config.base_of(entry.backbone), entry.backbone, entry.scale, base)
    context = BuildContext(
        entry.backbone, entry.scale, config.device, config.precision, weights, fitted
    )
    predictor = build_predictor(cls(cls.Options.model_validate(entry.options)), context)
    plain = isinstance(predictor, BackbonePredictor) and cls.kind == "plugin"
    return predictor, (
        lambda: BackbonePredictor(Method(), replace(context, fitted=None))
    ) if plain else None


def profile(
    entry: ProfileEntry,
    config: RunConfig,
    prepared: Path,
    base: Path | None,
    fitted: Path | None,
    probe: bool = False,
    alone: bool = False,
) -> ProfileRecord:
    """As :func:`measure` with the run's data and weights; a failure becomes a record.

    ``probe``: only whether ``entry.frames`` fit, with the time and memory of one call. ``alone``: without the unchanged
    backbone beside the method.
    """
    keep_freed_memory()
    if config.device == "cuda" and not torch.cuda.is_available():
        raise Bench3RError("device: cuda, but torch sees no GPU here")
    try:
        inputs = profile_inputs(entry, config, read_json(prepared))
        predictor, make_reference = prepare_predictor(entry, config, base, fitted)
        if not probe:
            return measure(entry, config, inputs, predictor, None if alone else make_reference)
        record, call = start_record(entry, config, inputs), cycle_calls(predictor, inputs)
        with torch.inference_mode(), Timer(config.device) as timer:
            first_call(record, call, config.device)
        record.seconds = [timer.seconds]
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


def main(job: Path) -> None:
    """The work of one process, as :mod:`bench3r.jobs.profile` describes it in ``job``; the record goes to a file."""
    from bench3r.run.plan import Plan

    asked = read_json(job)
    plan = Plan.model_validate(read_json(Path(asked["plan"])))
    entry = plan.profile(asked["profile"]).model_copy(update={"frames": asked["frames"]})
    base, fitted = (Path(asked[k]) if asked[k] else None for k in ("base", "fitted"))
    torch.set_num_threads(asked["threads"])
    record = profile(
        entry,
        plan.run_config(),
        Path(asked["prepared"]),
        base,
        fitted,
        asked["probe"],
        asked["alone"],
    )
    write_json(Path(asked["out"]), record.model_dump(mode="json"))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Bench3RError as error:  # a mistake of the user, no result of the method
        print(error, file=sys.stderr)
        sys.exit(USER_ERROR)
