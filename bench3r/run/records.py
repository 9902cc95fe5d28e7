"""Typed rows: what one scene of one cell gave. Written as JSON lines, one file per cell and stage.

Whatever a stage writes it writes as one of these models, and whoever reads it reads the same model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from bench3r.api.errors import Bench3RError
from bench3r.files import digest, read_json, read_jsonl
from bench3r.measure.rungs import Rung

Status = Literal["ok", "oom", "timeout", "error", "invalid", "unsupported"]
STATUSES: tuple[Status, ...] = ("ok", "oom", "timeout", "error", "invalid", "unsupported")

# Values by name, as JSON has them: numbers, texts and lists of them.
Json = dict[str, JsonValue]
# The options of a method by name, as JSON has them.
Options = dict[str, JsonValue]

# Exit code of a worker whose disk is full or gone: no result, the job is run again.
LOST_INFRASTRUCTURE = 75
# Exit code of a process that cannot do what was asked: a missing device, a wrong plan.
USER_ERROR = 2


class AsWritten(BaseModel):
    """A model that is written with the fields that were set, and no others."""

    @model_serializer(mode="wrap")
    def _only_what_was_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        known: dict[str, JsonValue] = dump(self)
        return {name: value for name, value in known.items() if name in self.model_fields_set}


class Provenance(AsWritten):
    """Where a number comes from; empty in the record of a process that ended before it knew."""

    model_config = ConfigDict(extra="allow")

    git: str | None = None  # commit
    dirty: bool | None = None  # whether the tree differs from the commit
    versions: dict[str, str | None] = {}  # of packages
    python: str = ""
    host: str | None = None
    device: str | None = None  # its name
    device_type: str | None = None  # "cpu" or "cuda"
    slurm_job: str | None = None
    slurm_node: str | None = None
    visible_gpus: str | None = None
    cpus: int | None = None
    time: str | None = None  # UTC, ISO 8601
    threads: int | None = None
    tf32: bool | None = None
    attention: str | None = None
    cuda: str | None = None
    gpu_memory_bytes: int | None = None
    lists_sha256: str | None = None  # of the frame lists, where scenes were predicted
    procedural: bool | None = None


class Record(BaseModel):
    """What every record has. ``key`` hashes all that makes records comparable."""

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
    prediction: str | None = None  # name of the saved prediction in the cell's folder
    prediction_sha256: str | None = None
    frames: int = 0
    image_size: tuple[int, int] | None = None  # (H, W) that the model saw
    weights: str = ""  # hash of the weights, "" when the method has none
    extras: Json = Field(default_factory=dict)  # facts of the method and savings, by name
    provenance: Provenance = Field(default_factory=Provenance)


def score_key(predicted: PredictRecord, rules: str, reference: PredictRecord | None = None) -> str:
    """The hash of what a score depends on.

    That is the very prediction, the hash of the scoring rules and, where it is compared with one,
    the prediction ``reference`` of the unchanged backbone.
    """
    parts = [predicted.key, predicted.prediction_sha256, predicted.weights, rules]
    if reference is not None:
        parts.append(reference.prediction_sha256)
    return digest(parts)


class ScoreRecord(Record):
    """Metrics of one scene under one protocol.

    A metric that could not be computed is absent, its reason stands in ``missing``.
    """

    protocol: str
    protocol_version: int
    protocol_hash: str
    metrics: dict[str, float] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)


class Probe(BaseModel):
    """One try of the search for the largest frame count."""

    model_config = ConfigDict(extra="forbid")

    frames: int
    status: Status
    reason: str = ""
    seconds: float | None = None
    bytes: int | None = None


class RungRecord(BaseModel):
    """Cost of an unchanged backbone on one rung of the ladder."""

    model_config = ConfigDict(extra="forbid")

    rung: Rung
    status: Status = "ok"
    reason: str = ""
    # Raw timed calls, and of the backbone as the run has it in turn with them.
    seconds: list[float] = Field(default_factory=list)
    run_seconds: list[float] = Field(default_factory=list)
    first_seconds: float | None = None  # of the first call, which compiles
    peak_gpu_bytes: int | None = None  # tensors in the first call, its weights and inputs included
    weight_bytes: int | None = None
    attention: dict[str, int] = Field(default_factory=dict)  # calls by backend, of one pass


class ProfileRecord(BaseModel):
    """Cost of a (method, options, backbone, scale, frames) at one image size."""

    model_config = ConfigDict(extra="forbid")

    cell: str
    key: str
    status: Status
    reason: str = ""
    suspect: list[str] = Field(default_factory=list)
    # What could not be measured, by the name of its field, and why.
    missing: dict[str, str] = Field(default_factory=dict)
    assumed: str = ""  # what was given instead of decided by content
    frames: int = 0
    image_size: tuple[int, int] = (0, 0)
    parameters: int | None = None
    macs: int | None = None
    flops: int | None = None
    flops_by_part: dict[str, int] = Field(default_factory=dict)
    parameters_by_part: dict[str, int] = Field(default_factory=dict)
    # Raw timed calls of the whole model and of the unchanged backbone, the i-th of both in turn.
    seconds: list[float] = Field(default_factory=list)
    reference_seconds: list[float] = Field(default_factory=list)
    trunk_seconds: list[float] = Field(default_factory=list)
    # Of a method that uses FP8: calls of the same one without it, in turn with `seconds`.
    without_fp8_seconds: list[float] = Field(default_factory=list)
    # What the unchanged backbone ran on here, and, of such a one, what it costs on others.
    rung: Rung | None = None
    ladder: list[RungRecord] = Field(default_factory=list)
    offload_taps: bool = False  # whether what heads read waited in the host's memory
    attention: dict[str, int] = Field(default_factory=dict)  # calls by backend, of one pass
    # Parts of `seconds` that a predictor times itself, and their peak memory in the first call.
    phase_seconds: dict[str, list[float]] = Field(default_factory=dict)
    phase_peak_bytes: dict[str, int] = Field(default_factory=dict)
    # Best rates measured beside it: flops and bytes a second.
    ceiling: dict[str, float] = Field(default_factory=dict)
    warmup: int = 0
    peak_rss_bytes: int | None = None
    baseline_rss_bytes: int | None = None
    peak_gpu_bytes: int | None = None  # tensors
    baseline_gpu_bytes: int | None = None  # tensors before the first call
    peak_gpu_reserved_bytes: int | None = None  # held by the allocator
    peak_gpu_driver_bytes: int | None = None  # used on the whole card, as the driver counts
    weight_bytes: int | None = None
    energy_j: float | None = None  # of one call; needs nvidia-ml-py
    # Clocks, throttling and other processes while the GPU was busy.
    gpu_state: Json = Field(default_factory=dict)
    largest: int | None = None  # maximum frame count, of a search
    probes: list[Probe] = Field(default_factory=list)  # what the search tried
    provenance: Provenance = Field(default_factory=Provenance)


class TrainRecord(AsWritten):
    """How weights came about: written beside them by the train stage.

    Records of weights that ship may say more (phases, notes, the command).
    """

    model_config = ConfigDict(extra="allow")

    id: str | None = None
    key: str | None = None
    backbone: str = ""
    scale: str = ""
    seed: int | None = None
    method: str | None = None  # None: a base
    options: Options = {}
    provenance: Provenance = Field(default_factory=Provenance)
    base_weights: str | None = None  # hash of the weights that a method started from
    # What the training scenes were made of: "procedural", or the settings of real data by name.
    data: JsonValue = None
    views_per_scene: int | None = None
    generator_version: int | None = None
    styles: list[str] = []
    first_seed: int | None = None
    train: Json = {}  # the settings of the training
    layers: dict[str, float] | None = None  # one number per layer, where a method learns some
    weights: str = ""  # hash of what was written
    steps_done: int | None = None
    scenes_seen: int | None = None
    scenes: int | None = None  # of a fit in closed form
    seconds: float | None = None
    shipped: str | None = None  # file name of the shipped part that was taken


R = TypeVar("R", bound=BaseModel)


def read_records(path: Path, model: type[R]) -> list[R]:
    """The rows of a JSON-lines file; empty where there is no such file.

    A damaged line is left out (its writer was killed), and so is one that is no such record, as an
    older version of the library may have written it: its result is missing and is made again.
    """
    rows: list[R] = []
    for row in read_jsonl(path):
        try:
            rows.append(model.model_validate(row))
        except ValidationError:
            continue
    return rows


def read_record(path: Path, model: type[R]) -> R:
    """The record in a JSON file. Raises Bench3RError for a missing file and for no such record."""
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        kind = model.__name__
        problems = "; ".join(f"{p['loc']}: {p['msg']}" for p in error.errors()[:3])
        raise Bench3RError(f"{path}: not a {kind}: {problems}") from error
