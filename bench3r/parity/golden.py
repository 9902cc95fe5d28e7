"""A golden file: NAME.json says what official code computed, NAME.npz holds the arrays of it.

The JSON names its kind, what was computed, with which parameters, and the tolerance of every array;
the arrays whose names start with ``in_`` are inputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from torch import Tensor

from bench3r.api.errors import Bench3RError, describe
from bench3r.files import read_json, read_npz

Kind = Literal["model", "method", "protocol"]
Part = Literal["parameters", "config", "input", "overrides"]
Value = Tensor | np.ndarray | np.generic | float
Outputs = Mapping[str, Value | None]  # None: the case has no such array
INPUT = "in_"  # how the names of inputs start
# numbers beside the parameters that explain a file and change nothing
EXPLAINING = ("icp_max_correspondence_distance", "noise", "seed", "total_params", "H", "V", "W")
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Parameters(BaseModel):
    """A part of a description that says what is computed; unknown names are refused."""

    model_config = ConfigDict(extra="forbid")


class Described(BaseModel):
    """A part of a description in which reasons may stand, but no number or switch that counts."""

    @model_validator(mode="before")
    @classmethod
    def _explained(cls, raw: Any) -> Any:
        known = names_of(cls)
        for name, value in raw.items() if isinstance(raw, dict) else ():
            if isinstance(value, int | float) and name not in (*known, *EXPLAINING):
                raise ValueError(f"unknown key {name!r}; known: {', '.join(known)}")
        return raw


class Tolerance(Described):
    """What the arrays of one name pattern have to fulfil; reasons may stand beside these keys."""

    arrays: str
    metric: Literal["close", "equal", "relnorm", "log_close", "ignore"]
    atol: float = 0.0
    rtol: float = 0.0
    tol: float = 0.0
    allow_fraction: float = 0.0

    def text(self) -> str:
        """The tolerance in words, with the limits that the file gives."""
        words: list[str] = [self.metric]
        for name in ("atol", "rtol", "tol", "allow_fraction"):
            if name in self.model_fields_set:
                words.append(f"{name} {getattr(self, name):g}")
        return " ".join(words)


class GoldenCase(Described):
    """The description in NAME.json.

    Keys that only explain, such as the official source, may stand beside these.
    """

    model_config = ConfigDict(extra="allow")

    kind: Kind
    tolerances: list[Tolerance] = Field(alias="gates")
    name: str = ""  # of a method's case: its operation, then the variant
    model: str = ""
    protocol: str = ""  # its number, a colon, what it scores
    parameters: dict[str, JsonValue] = {}  # of the operation
    config: dict[str, JsonValue] = {}  # of the network
    overrides: dict[str, JsonValue] = {}  # of entries of the configuration
    input: dict[str, JsonValue] = {}  # sizes of the images
    pairs: list[tuple[int, int]] = []  # of images that a pair network sees
    edges: list[tuple[int, int]] = []  # of the graph that an alignment works on
    iterations: int = 300
    tensors: dict[str, list[int]] = {}  # name and shape of every parameter
    outputs: dict[str, list[int]] = {}  # name and shape of every array


class Inputs(dict[str, T]):
    """Inputs of a case by name; a missing one is an error that names file and array."""

    def __init__(self, path: Path, prefix: str = INPUT) -> None:
        super().__init__()
        self.path = path
        self.prefix = prefix

    def __missing__(self, name: str) -> T:
        raise Bench3RError(f"{self.path}: the file lacks the array {self.prefix}{name}")


@dataclass(frozen=True)
class Golden:
    """A golden file that was read."""

    path: Path
    case: GoldenCase
    arrays: dict[str, np.ndarray]
    operations: Any = None  # of a method's case: the plug-in module whose operations are checked

    def tensors(self) -> Inputs[Tensor]:
        """Copies of the inputs, of the file's shapes [...], under their names without ``in_``."""
        found: Inputs[Tensor] = Inputs(self.path)
        for name, value in self.arrays.items():
            if name.startswith(INPUT):
                found[name.removeprefix(INPUT)] = torch.from_numpy(np.array(value))
        return found

    def numbers(self) -> Inputs[np.ndarray]:
        """The inputs [...] under their names without ``in_``, floats in double precision."""
        found: Inputs[np.ndarray] = Inputs(self.path)
        for name, value in self.arrays.items():
            if name.startswith(INPUT):
                is_float = value.dtype.kind == "f"
                found[name.removeprefix(INPUT)] = value.astype(np.float64) if is_float else value
        return found

    def numbers_in_names(self, pattern: str) -> list[int]:
        """The numbers that the first group of ``pattern`` takes in names of arrays, ascending."""
        matches = [re.fullmatch(pattern, name) for name in self.arrays]
        return sorted({int(match[1]) for match in matches if match})

    def predictions(self) -> Inputs[np.ndarray]:
        """All arrays [...], for cases whose inputs stand among the outputs."""
        found: Inputs[np.ndarray] = Inputs(self.path, prefix="")
        found.update(self.arrays)
        return found

    def read(self, part: Part, model: type[M]) -> M:
        """The ``part`` of the description as a ``model``.

        Raises Bench3RError naming file, key and, where the key is unknown, the known ones.
        """
        return self.validate(model, getattr(self.case, part), part)

    def validate(self, model: type[M], raw: JsonValue, part: str) -> M:
        """``raw`` of ``part`` as a ``model``; raises Bench3RError as read does."""
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            raise refusal(error, model, f"{self.path}: {part}") from error

    def parameters(self, model: type[M]) -> M:
        """The parameters as a ``model``. Raises Bench3RError naming file and key."""
        return self.read("parameters", model)

    def agree(self, parameters: BaseModel, **found: JsonValue) -> None:
        """Compare ``parameters`` that only describe with what was ``found`` under their names.

        Raises Bench3RError where they differ: such a case is not the one that it says it is.
        """
        for name, value in found.items():
            given = getattr(parameters, name)
            if given is not None and given != value:
                raise Bench3RError(
                    f"{self.path}: {name} is {given!r}, "
                    f"but arrays and the other parameters give {value!r}"
                )


@dataclass(frozen=True)
class Check:
    """How the arrays of one kind of golden file are computed again.

    One file below ``checks/`` holds one.
    """

    name: str
    kind: Kind
    golden: tuple[str, ...]  # the models, protocol numbers or first words of names that it is for
    outputs: Callable[[Golden], Outputs]  # of all arrays under their names in the file
    method: str = ""  # the file of methods/ whose operations are checked
    needs: tuple[str, ...] = ()  # keys without which there is no such case
    reads: tuple[Part, ...] = ()  # parts of the description that it knows


def names_of(model: type[BaseModel]) -> list[str]:
    """The names of a model's fields as they stand in a file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def refusal(error: ValidationError, model: type[BaseModel], where: str) -> Bench3RError:
    """What is wrong with a part of a description at ``where``, with the known names and values."""
    message = str(describe(error, where, names_of(model)))
    for problem in error.errors():
        if problem["type"] == "extra_forbidden":
            inner = _model_at(model, problem["loc"][:-1])
            message += f"; known: {', '.join(names_of(inner))}"
    return Bench3RError(message)


def _model_at(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel]:
    """The model of the part of ``model`` that stands at ``place``."""
    for name in place:
        field = model.model_fields.get(str(name))
        if field is None:
            continue
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        model = inner[0] if inner else model
    return model


def read_golden(path: Path) -> Golden:
    """The golden file at ``path``, its arrays beside it.

    Raises Bench3RError naming the file and the key that is missing or wrong.
    """
    raw = read_json(path)
    try:
        case = GoldenCase.model_validate(raw)
    except ValidationError as error:
        raise describe(error, str(path)) from error
    return Golden(path, case, read_npz(path.with_suffix(".npz")))
