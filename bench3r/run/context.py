"""From an entry of a plan to what its predictor is built from: the method, backbone and weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench3r.api.method import METHODS, BuildContext, Method
from bench3r.files import file_digest
from bench3r.models.catalogue import NO_BACKBONE
from bench3r.models.weights import resolve_base
from bench3r.run.config import RunConfig
from bench3r.run.plan import NetworkEntry
from bench3r.run.records import Options


@dataclass(frozen=True)
class Trained:
    """The files that trainings of the run wrote for an entry."""

    base: Path | None = None
    fitted: Path | None = None  # of the method


def method_of(name: str, options: Options) -> Method:
    """The method called ``name`` with its options. Raises Bench3RError for an unknown one."""
    cls = METHODS.get(name)
    return cls(cls.Options.model_validate(options))


def context_of(
    entry: NetworkEntry, config: RunConfig, trained: Trained, seed: int = 0
) -> BuildContext:
    """What a method builds from: backbone, device and weights of ``entry``.

    Raises Bench3RError when the base's weights cannot be found.
    """
    weights = None
    if entry.backbone != NO_BACKBONE:
        source = config.base_of(entry.backbone)
        weights = resolve_base(source, entry.backbone, entry.scale, trained.base)
    return BuildContext(
        backbone=entry.backbone,
        scale=entry.scale,
        device=config.device,
        precision=config.precision,
        offload_taps=config.offload_taps,
        weights=weights,
        fitted=trained.fitted,
        seed=seed,
    )


def weights_hash(context: BuildContext) -> str:
    """The hash of all weights of ``context``, joined by +; "" without any."""
    files = [path for path in (context.weights, context.fitted) if path is not None]
    return "+".join(file_digest(path) for path in files)
