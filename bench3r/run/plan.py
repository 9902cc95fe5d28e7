"""What a run consists of: datasets, trainings, cells and cost measurements, each with its key.

The plan is a JSON file that the Snakefile and every stage read; ``planner.py`` makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bench3r.api.errors import describe, unknown
from bench3r.files import read_json
from bench3r.run.config import RunConfig
from bench3r.run.records import Options


class Entry(BaseModel):
    """Base of what a plan lists."""

    model_config = ConfigDict(extra="forbid")

    id: str
    key: str  # hash of all that defines it; a change makes its files stale


class DatasetEntry(Entry):
    """One prepared dataset."""

    name: str
    root: str
    scenes: int | Literal["all"] | list[str]
    frame_list: str | None = None
    intrinsics: Literal["exact", "pi3"] = "exact"
    views: int
    step: int | None
    windows: int
    frames: list[int]
    seed: int
    main: bool


class NetworkEntry(Entry):
    """Base of what runs a network: a method with its options on a backbone at a scale."""

    options: Options
    backbone: str
    scale: str
    base: str | None  # id of the base's training, when the run trains it


class TrainEntry(NetworkEntry):
    """One training: a base (``method`` is None) or what a method learns."""

    method: str | None
    seed: int
    processes: int = 1  # that share the work, each on a GPU of its own where the run has GPUs


class MethodEntry(NetworkEntry):
    """Base of what compares a method."""

    method: str
    label: str
    dataset: str  # id of the dataset; of a cost measurement that whose first scenes are the input
    trained: str | None  # id of the method's own training
    frames: int


class Cell(MethodEntry):
    """One predict job and one score job."""

    kind: str
    dataset_name: str
    seed: int
    unsupported: str = ""
    # The unchanged backbone's cell on the same scenes, where a protocol compares with it.
    reference: str | None = None
    tables: list[str]  # where the cell appears: "main", names of ablations


class ProfileEntry(MethodEntry):
    """One cost measurement; with ``largest`` a search for the maximum frame count, up to that."""

    largest: int | None = None


E = TypeVar("E", bound=Entry)


class Plan(BaseModel):
    """Everything a run consists of."""

    model_config = ConfigDict(extra="forbid")

    config: RunConfig
    datasets: list[DatasetEntry]
    trainings: list[TrainEntry]
    cells: list[Cell]
    profiles: list[ProfileEntry]
    score_key: str
    collect_key: str = ""
    report_key: str = ""
    prediction_bytes: int

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.config.name

    def cell(self, name: str) -> Cell:
        """The cell called ``name``. Raises Bench3RError for an unknown one."""
        return _find(self.cells, name, "cell")

    def dataset(self, name: str) -> DatasetEntry:
        """The dataset entry called ``name``. Raises Bench3RError for an unknown one."""
        return _find(self.datasets, name, "dataset")

    def training(self, name: str) -> TrainEntry:
        """The training called ``name``. Raises Bench3RError for an unknown one."""
        return _find(self.trainings, name, "training")

    def profile(self, name: str) -> ProfileEntry:
        """The cost measurement called ``name``. Raises Bench3RError for an unknown one."""
        return _find(self.profiles, name, "profile")


def read_plan(path: Path) -> Plan:
    """The plan in a JSON file. Raises Bench3RError for a missing, damaged or outdated file."""
    try:
        return Plan.model_validate(read_json(path))
    except ValidationError as error:
        raise describe(error, f"{path}: not a plan", Plan.model_fields) from error


def _find(entries: Sequence[E], name: str, kind: str) -> E:
    for entry in entries:
        if entry.id == name:
            return entry
    raise unknown(kind, name, [e.id for e in entries], "plan")
