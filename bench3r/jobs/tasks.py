"""What a supervisor asks of its worker: written as JSON by the one, read by the other."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from bench3r.data.prepared import SceneItem
from bench3r.files import read_json, write_json
from bench3r.measure.rungs import Rung
from bench3r.run.records import Options


class Task(BaseModel):
    """Base of all tasks."""

    model_config = ConfigDict(extra="forbid")

    threads: int = 1


class PlannedTask(Task):
    """A task for an entry of a plan."""

    plan: Path
    prepared: Path
    base: Path | None  # what the training of the base wrote, when the run trains it
    fitted: Path | None  # what the training of the method wrote


class PredictTask(PlannedTask):
    """Scenes of one cell."""

    cell: str
    folder: Path
    items: list[SceneItem]


class ProfileTask(PlannedTask):
    """One cost measurement."""

    profile: str
    frames: int
    probe: bool = False  # only whether the frames fit, with the time and memory of one call
    alone: bool = False  # without the unchanged backbone, or the ladder, beside the method
    out: Path  # where the record goes


class ReferenceCase(Task):
    """A cost measurement with random weights and images; its hash names the record."""

    id: str
    method: str
    label: str
    options: Options
    backbone: str
    scale: str
    frames: int
    size: tuple[int, int]  # image height and width
    device: str
    precision: Literal["fp32", "bf16"]
    rung: Rung | None = None  # of the ladder, for an unchanged backbone; None: by ``precision``
    warmup: int
    repeats: int
    seconds: int | float  # timed work after which no more calls follow, once there are 3


class ReferenceTask(ReferenceCase):
    """A case and where its record goes."""

    out: Path


T = TypeVar("T", bound=Task)


def write_task(path: Path, task: Task) -> None:
    """Write a task for the worker."""
    write_json(path, task.model_dump(mode="json"))


def read_task(path: Path, kind: type[T]) -> T:
    """The task that the supervisor wrote. Raises Bench3RError for a missing or damaged file."""
    return kind.model_validate(read_json(path))
