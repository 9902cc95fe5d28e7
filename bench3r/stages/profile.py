"""Profile: what one forward pass costs (FLOPs, time, memory) with the machine to itself, without data or weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from bench3r.config import RunConfig
from bench3r.errors import Bench3RError
from bench3r.files import write_json
from bench3r.measure import flops
from bench3r.measure.trackers import MemoryTracker, time_calls
from bench3r.method import BuildContext, Method
from bench3r.models.backbones import BackbonePredictor
from bench3r.models.scales import input_size
from bench3r.plan import ProfileEntry
from bench3r.provenance import provenance
from bench3r.records import ProfileRecord
from bench3r.registry import load_one

VARIATION_LIMIT = 0.2  # coefficient of variation above which a latency is suspect


def trunk_call(predictor: object, images: torch.Tensor) -> Callable[[], object] | None:
    """The trunk alone, when the predictor has one."""
    if isinstance(predictor, BackbonePredictor):
        return lambda: predictor.model.run_trunk(images)
    return None


def suspect_reasons(record: ProfileRecord) -> list[str]:
    """What makes a record doubtful."""
    reasons = []
    if record.macs == 0:
        reasons.append("the FLOP count is zero")
    times = torch.tensor(record.seconds)
    if len(times) > 1 and float(times.std() / times.mean()) > VARIATION_LIMIT:
        reasons.append(f"latency varies by {float(times.std() / times.mean()):.0%}")
    if record.peak_rss_bytes and record.weight_bytes and record.peak_rss_bytes < record.weight_bytes:
        reasons.append("the memory peak is below the weights")
    return reasons


def measure(entry: ProfileEntry, config: RunConfig, images: torch.Tensor) -> ProfileRecord:
    """The cost record of ``entry`` on ``images`` [1, S, 3, H, W]."""
    cls, how = load_one("methods", entry.method, Method), config.profile
    context = BuildContext(entry.backbone, entry.scale, config.device, config.precision)
    predictor = cls(cls.Options.model_validate(entry.options)).build(context)
    record = ProfileRecord(
        cell=entry.id, key=entry.key, status="ok", frames=entry.frames, image_size=(images.shape[-2], images.shape[-1]),
        warmup=how.warmup, provenance=provenance(config.device),
    )  # fmt: skip
    with torch.inference_mode():
        with MemoryTracker(config.device) as memory:
            predictor(images, None)
        record.seconds = time_calls(lambda: predictor(images, None), config.device, how.warmup, how.repeats)
        trunk = trunk_call(predictor, images)
        if trunk:
            record.trunk_seconds = time_calls(trunk, config.device, 1, how.repeats)
    record.baseline_rss_bytes, record.peak_rss_bytes = memory.baseline_rss, memory.peak_rss
    record.peak_gpu_bytes = memory.peak_gpu
    _count(record, predictor, images)
    record.suspect = suspect_reasons(record)
    return record


def _count(record: ProfileRecord, predictor: object, images: torch.Tensor) -> None:
    """Parameters and FLOPs of predictors that are backbones; others stay without."""
    if not isinstance(predictor, BackbonePredictor):
        return
    parameters = list(predictor.model.parameters())
    record.parameters = sum(p.numel() for p in parameters)
    record.weight_bytes = sum(p.numel() * p.element_size() for p in parameters)
    counted = flops.count(predictor.model, images)
    record.macs, record.flops = counted.macs, counted.flops
    record.flops_by_part = {k: 2 * v for k, v in flops.parts(counted.by_module).items()}


def profile(entry: ProfileEntry, config: RunConfig, threads: int = 1) -> ProfileRecord:
    """As :func:`measure` with random images at the scale's usual size; a failure becomes a record."""
    from bench3r.stages.worker import failure

    if config.device == "cuda" and not torch.cuda.is_available():
        raise Bench3RError("device: cuda, but torch sees no GPU here")
    torch.set_num_threads(threads)
    height, width, _ = input_size(entry.backbone, entry.scale)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, entry.frames, 3, height, width, generator=generator).to(config.device)
    try:
        return measure(entry, config, images)
    except Exception as error:
        status, reason = failure(error)
        return ProfileRecord(cell=entry.id, key=entry.key, status=status, reason=reason, frames=entry.frames,
                             image_size=(height, width), provenance=provenance(config.device))  # fmt: skip


def write_profile(entry: ProfileEntry, config: RunConfig, out: Path, threads: int = 1) -> ProfileRecord:
    """Measure and write the record."""
    record = profile(entry, config, threads)
    write_json(out, record.model_dump(mode="json"))
    return record
