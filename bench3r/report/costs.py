"""What a setting costs, as the profile stage measured it: time, FLOPs, memory, energy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from bench3r.measure.pairs import REFERENCE, Ratio, paired_ratio, spread_reason
from bench3r.measure.rungs import Rung
from bench3r.models.catalogue import label_of_network, reference_of
from bench3r.report.settings import Place, Setting
from bench3r.run.records import Probe, RungRecord

NOT_COUNTED = "its predictor does not say what to count: a method made by `build` needs `counted`"


class Lack(NamedTuple):
    """A value that a measured cost lacks, and why."""

    what: str
    reason: str


class CostRow(BaseModel):
    """The cost of a setting at a frame count; what was not measured is NaN or empty."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    cell: str = ""  # name of its record among the run's profiles
    key: str = ""  # of that record
    method: str
    label: str = ""
    backbone: str = ""
    scale: str = ""
    options: str = "{}"
    frames: int = 0
    status: str = "error"
    reason: str = ""
    device: str = ""
    time: str = ""
    suspect: list[str] = []
    missing: dict[str, str] = {}  # what could not be measured, and why
    image_size: tuple[int, int] | None = None
    flops: float = math.nan  # on the profile's input
    parameters: float = math.nan
    weight_bytes: float = math.nan
    peak_rss_bytes: float = math.nan
    baseline_rss_bytes: float = math.nan
    peak_gpu_bytes: float = math.nan
    baseline_gpu_bytes: float = math.nan
    energy_j: float = math.nan
    flops_by_part: dict[str, float] = {}
    parameters_by_part: dict[str, int] = {}
    seconds: list[float] = []
    reference_seconds: list[float] = []  # of the unchanged backbone, in turn with ``seconds``
    without_fp8_seconds: list[float] = []  # of the same method without FP8, in turn as well
    rung: Rung | None = None  # of the ladder, that the unchanged backbone stood on
    ladder: list[RungRecord] = []  # of an unchanged backbone on others
    attention: dict[str, int] = {}  # calls by attention backend
    phase_seconds: dict[str, list[float]] = {}
    phase_peak_bytes: dict[str, float] = {}
    ceiling: dict[str, float] = {}  # best rates measured in the same process
    largest: int | None = None  # maximum frame count, of a search
    probes: list[Probe] = []  # what the search tried

    @model_validator(mode="before")
    @classmethod
    def _without_unknowns(cls, row: object) -> object:
        """What is null in a record stays at the default that says so."""
        if not isinstance(row, Mapping):
            return row
        return {str(k): v for k, v in row.items() if not _is_missing(v)}

    @property
    def setting(self) -> Setting:
        """What was measured; the kind of its method is not recorded with costs."""
        return Setting(self.method, self.label, "", self.options, self.backbone)

    @property
    def ok(self) -> bool:
        """Whether it was measured."""
        return self.status == "ok"

    @property
    def is_unchanged(self) -> bool:
        """Whether it is the unchanged backbone itself, which ratios are to."""
        return self.method == reference_of(self.backbone)

    @property
    def median_seconds(self) -> float:
        """Median time of a call; NaN when none was timed. Not to be compared between rows."""
        return float(np.median(self.seconds)) if self.seconds else math.nan

    @cached_property
    def ratio(self) -> Ratio | None:
        """Paired time over the unchanged backbone's; None where :attr:`why_unpaired` says why.

        1 for the unchanged backbone itself.
        """
        if not self.ok or not self.seconds:
            return None
        if self.is_unchanged:
            own = Ratio(1.0, 1.0, 1.0, len(self.seconds), method=REFERENCE)
        else:
            found = paired_ratio(self.seconds, self.reference_seconds)
            if found is None:
                return None
            own = found
        reasons = filter(None, [*self.doubts, own.suspect])
        return own._replace(suspect="; ".join(dict.fromkeys(reasons)))

    @cached_property
    def fp8_ratio(self) -> Ratio | None:
        """Paired time over that of the same method without its FP8; None where it has none."""
        return paired_ratio(self.seconds, self.without_fp8_seconds) if self.ok else None

    @cached_property
    def doubts(self) -> list[str]:
        """What makes its times doubtful: what the record says, and a large spread of its calls."""
        return list(filter(None, [*self.suspect, spread_reason("calls", self.seconds)]))

    @property
    def why_unpaired(self) -> str:
        """Why there is no paired ratio; "" where there is one."""
        if self.ratio is not None:
            return ""
        if not self.ok:
            return f"{self.status}: {self.reason}" if self.reason else self.status
        if not self.seconds:
            return "no call was timed"
        label = label_of_network(reference_of(self.backbone))
        if "reference_seconds" in self.missing:
            return f"{label}: {self.missing['reference_seconds']}"
        kind = "a whole model: " if self.method == self.backbone else ""
        return f"{kind}{label} was not timed in turn with it"

    @property
    def on_gpu(self) -> bool:
        """Whether its memory is that of tensors on a GPU."""
        return math.isfinite(self.peak_gpu_bytes) and self.peak_gpu_bytes > 0

    @property
    def peak_bytes(self) -> float:
        """Peak memory: of tensors on the GPU, of the process on a CPU; NaN when not measured."""
        if self.on_gpu:
            return self.peak_gpu_bytes
        known = math.isfinite(self.peak_rss_bytes) and self.peak_rss_bytes > 0
        return self.peak_rss_bytes if known else math.nan

    @property
    def above_baseline_bytes(self) -> float:
        """What :attr:`peak_bytes` is above what was held before the first call; NaN if unknown.

        Held before are libraries, weights and images, on a GPU weights and images.
        """
        baseline = self.baseline_gpu_bytes if self.on_gpu else self.baseline_rss_bytes
        return self.peak_bytes - baseline

    @property
    def lacks(self) -> list[Lack]:
        """What a measured cost should have and has not; nothing of one that failed as a whole."""
        if not self.ok or self.probes:
            return []
        found = []
        if not self.seconds:
            found.append(Lack("time", self.missing.get("seconds", "no call was timed")))
        if not math.isfinite(self.flops):
            found.append(Lack("FLOPs", self.missing.get("flops", NOT_COUNTED)))
        if not math.isfinite(self.peak_bytes):
            found.append(Lack("memory", self.missing.get("memory", "no peak was recorded")))
        return found


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def by_place(costs: Iterable[CostRow]) -> dict[tuple[Place, int], CostRow]:
    """The first of ``costs`` of every setting at every frame count."""
    found: dict[tuple[Place, int], CostRow] = {}
    for cost in costs:
        found.setdefault((cost.setting.place, cost.frames), cost)
    return found
