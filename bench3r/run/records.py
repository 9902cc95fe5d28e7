"""Typed rows: what one scene of one cell gave. Written as JSON lines, one file per cell and stage."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench3r.files import digest

Status = Literal["ok", "oom", "timeout", "error", "invalid", "unsupported"]
STATUSES: tuple[Status, ...] = ("ok", "oom", "timeout", "error", "invalid", "unsupported")
LOST_INFRASTRUCTURE = (
    75  # exit code of a worker whose disk is full or gone: no result, the job is run again
)


USER_ERROR = 2  # exit code of a process that cannot do what was asked: a missing device, a plan that does not fit


class Record(BaseModel):
    """Fields that every record has. ``key`` hashes all that makes records comparable (DESIGN: provenance)."""

    model_config = ConfigDict(extra="forbid")

    cell: str
    key: str
    scene: str
    status: Status
    reason: str = ""  # why the status is not ok


class Efficiency(BaseModel):
    """Cost of one forward pass; a value that was not measured is None, never zero."""

    model_config = ConfigDict(extra="forbid")

    seconds: float | None = None  # wall time of the call
    shared: bool = True  # other work ran beside it: never tabulated
    peak_rss_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    macs: int | None = None
    flops: int | None = None
    energy_j: float | None = None


class PredictRecord(Record):
    """One predicted scene: efficiency, what the method reports, and where it ran."""

    efficiency: Efficiency = Field(default_factory=Efficiency)
    prediction: str | None = (
        None  # file name of the saved prediction, relative to the cell's folder
    )
    prediction_sha256: str | None = None
    frames: int = 0
    image_size: tuple[int, int] | None = None  # (H, W) that the model saw
    weights: str = ""  # hash of the weights, "" when the method has none
    extras: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)


def score_key(
    predicted: dict[str, Any], rules: str, reference: dict[str, Any] | None = None
) -> str:
    """What a score depends on: the very prediction (a PredictRecord as JSON), the hash of the scoring rules and, where it
    is compared with one, the unchanged backbone's prediction."""
    parts = [predicted["key"], predicted.get("prediction_sha256"), predicted["weights"], rules]
    return digest([*parts, reference.get("prediction_sha256")] if reference else parts)


class ScoreRecord(Record):
    """Metrics of one scene under one protocol; a metric that could not be computed is absent, its reason in ``missing``."""

    protocol: str
    protocol_version: int
    protocol_hash: str
    metrics: dict[str, float] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)


class ProfileRecord(BaseModel):
    """Cost of a (method, options, backbone, scale, frames) at one image size, without data."""

    model_config = ConfigDict(extra="forbid")

    cell: str
    key: str
    status: Status
    reason: str = ""
    suspect: list[str] = Field(default_factory=list)
    assumed: str = ""  # what was given instead of decided by content
    frames: int = 0
    image_size: tuple[int, int] = (0, 0)
    parameters: int | None = None
    macs: int | None = None
    flops: int | None = None
    flops_by_part: dict[str, int] = Field(default_factory=dict)
    parameters_by_part: dict[str, int] = Field(default_factory=dict)
    seconds: list[float] = Field(default_factory=list)  # raw timed calls of the whole model
    reference_seconds: list[float] = Field(
        default_factory=list
    )  # of the unchanged backbone, in turn with `seconds`
    trunk_seconds: list[float] = Field(default_factory=list)
    phase_seconds: dict[str, list[float]] = Field(
        default_factory=dict
    )  # parts of `seconds` that a predictor times itself
    phase_peak_bytes: dict[str, int] = Field(
        default_factory=dict
    )  # their peak memory in the first call
    ceiling: dict[str, float] = Field(
        default_factory=dict
    )  # best rates measured beside it: flops, bytes a second
    warmup: int = 0
    peak_rss_bytes: int | None = None
    baseline_rss_bytes: int | None = None
    peak_gpu_bytes: int | None = None  # tensors
    peak_gpu_reserved_bytes: int | None = None  # held by the allocator
    peak_gpu_driver_bytes: int | None = None  # used on the whole card, as the driver counts
    weight_bytes: int | None = None
    energy_j: float | None = None  # of one call; needs nvidia-ml-py
    gpu_state: dict[str, Any] = Field(
        default_factory=dict
    )  # clocks, throttling, other processes, while it was busy
    largest: int | None = None  # most frames that fitted, of a search
    probes: list[dict[str, Any]] = Field(
        default_factory=list
    )  # what the search tried: frames, status, seconds, bytes
    provenance: dict[str, Any] = Field(default_factory=dict)
