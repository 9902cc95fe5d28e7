"""How papers lay out their own tables: the layouts that lie beside methods, in methods/papers/.

``methods/papers/NAME.yaml`` is about the paper of ``methods/NAME.py``. It says of every table of
the paper what its rows and columns are in our terms, so that a report can fill the same table with
its own numbers, and say which cells it cannot fill and why. The printed numbers themselves are
claims and are named by their ids.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, model_validator

from bench3r.api.errors import Bench3RError, describe
from bench3r.api.registry import ROOT
from bench3r.files import read_yaml

FOLDER = ROOT / "methods" / "papers"
CostName = Literal["time", "flops", "saved_flops", "memory"]


class Layout(BaseModel):
    """Base of all parts; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PaperColumn(Layout):
    """A column of a paper's table: a metric of ours, or a cost, or neither and why."""

    title: str
    metric: str = ""  # "protocol/metric"
    cost: CostName | None = None
    times: float = 1.0  # ours in the paper's unit
    dataset: str = ""  # ours; "": all of the main comparison
    frames: int | None = None  # at which it stands, where it is not the run's first count
    why: str = ""  # why it cannot be filled


class PaperRow(Layout):
    """A row of a paper's table: a method of ours on a backbone, or none."""

    label: str
    method: str = ""  # ours; "": there is none
    backbone: str = ""  # ours; "": that of the method, or the reference
    options: dict[str, JsonValue] = {}  # that it must have
    claims: tuple[str, ...] = ()  # whose values, one after another, are its printed numbers
    values: tuple[float | str | None, ...] = ()  # the same, where no claim holds them
    why: str = ""  # why it cannot be filled


class PaperTable(Layout):
    """One table of a paper: filled from our records, or answered by tables of our own form."""

    number: str
    title: str
    conditions: str = ""  # device, data and frames of the printed numbers
    ours: tuple[str, ...] = ()  # tables of a report that answer it; "*" stands for anything
    columns: tuple[PaperColumn, ...] = ()
    rows: tuple[PaperRow, ...] = ()
    why: str = ""  # why nothing in a report answers it
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _answered_somehow(self) -> PaperTable:
        if bool(self.columns) != bool(self.rows):
            raise ValueError(f"{self.number}: rows and columns belong together")
        if not (self.columns or self.ours or self.why):
            raise ValueError(f"{self.number}: expected rows and columns, ours, or why")
        return self


class Paper(Layout):
    """A paper and its tables in their order."""

    name: str  # how the paper is called
    tables: tuple[PaperTable, ...]
    key: str = ""  # the method that it introduces; filled from the file's name


def read_paper(path: Path) -> Paper:
    """The layouts in ``path``. Raises Bench3RError that names the file and what is wrong in it."""
    try:
        return Paper.model_validate({**read_yaml(path), "key": path.stem})
    except ValidationError as error:
        raise describe(error, str(path)) from None
    except TypeError as error:
        raise Bench3RError(f"{path}: no layout of a paper's tables: {error}") from None


def all_papers(folder: Path = FOLDER) -> list[Paper]:
    """Every paper whose layouts lie in ``folder``, by name of the method.

    Raises Bench3RError as :func:`read_paper`.
    """
    return [read_paper(path) for path in sorted(folder.glob("*.yaml"))]
