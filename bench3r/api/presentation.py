"""What a method file may declare about its results: facts, report sections, a paper's numbers.

Declarations are plain data. ``bench3r/report/sections/`` draws them, so that a method brings its
tables and figures without importing any of the reporting. ``file`` is always the name of what is
written, without frame count and suffix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FactValue = bool | int | float | str | list[int] | list[float] | list[str] | None
Facts = dict[str, FactValue]  # by name
OptionKey = bool | int | float | str


@dataclass(frozen=True)
class Fact:
    """A value that a method records of every scene, beside its reconstruction."""

    name: str
    meaning: str
    unit: str = ""


@dataclass(frozen=True)
class FactColumn:
    """A column of a table, made from a fact over the scenes of a setting.

    ``how``: the first scene's value (what is the same for all), the mean, the mean of ``fact`` /
    ``over``, or how many scenes of all it is true for. ``form``: as in format strings.
    """

    title: str
    fact: str
    how: Literal["first", "mean", "ratio", "count"] = "mean"
    over: str = ""
    form: str = ".2f"
    name: str = ""  # in the CSV; "": as the fact


@dataclass(frozen=True)
class OptionTable:
    """A table of its own form for the ablation in which exactly ``option`` of the method varies."""

    option: str
    file: str
    title: str
    # Metrics as "protocol/metric", those without any value left out; (): the usual ones.
    columns: tuple[str, ...] = ()
    facts: tuple[FactColumn, ...] = ()
    costs: bool = True  # time and FLOPs
    storage: bool = False  # bytes of the weights, and how many times fewer than fp32 and bf16
    by_dataset: bool = False  # one table for every dataset
    joins_main: bool = False  # its settings stand beside the main ones in figures of all methods
    # By value of the option, a paper's own numbers by column title.
    reported: Mapping[OptionKey, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OptionMap:
    """A heat map of quality in ablations in which exactly two numeric options vary."""

    rows: str
    columns: str
    row_title: str
    column_title: str
    file: str
    title: str


@dataclass(frozen=True)
class LayerValues:
    """One number per layer that the train stage recorded (``layers`` of its record).

    ``threshold`` None: a table, shared by all methods that declare the same; else a figure with a
    bar for each layer, in which those above the threshold stand out.
    """

    file: str
    title: str
    label: str = ""
    option: str = ""  # the option whose values are told apart
    threshold: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComponentTable:
    """Parameters and share of FLOPs of named components, beside the unchanged backbone's."""

    file: str
    title: str
    components: Mapping[str, tuple[str, ...]]  # label -> names of parts
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhaseTable:
    """Parts of a prediction that a method times itself, beside one pass of the reference backbone.

    FLOPs are counted of the phase ``counted`` alone.
    """

    file: str
    title: str
    phases: tuple[str, ...]
    counted: str
    before: tuple[FactColumn, ...] = ()  # facts in front of the costs
    after: tuple[FactColumn, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FramesTable:
    """Cost and quality of the method and of unchanged backbones over all frame counts of a run."""

    file: str
    title: str


MethodSection = OptionTable | OptionMap | LayerValues | ComponentTable | PhaseTable | FramesTable


@dataclass(frozen=True)
class Reported:
    """A paper's own numbers, shown in (parentheses) and never mixed with ours."""

    paper: str  # how the paper is called in a row's label
    source: str  # table, device and what is not stated
    tables: Mapping[str, str] = field(default_factory=dict)  # our table -> what it is in the paper
    # By name of a method, values by start of the column's title.
    rows: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    # By scene type, shares of patches at recursion depth 1, 2, ...
    depth_shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    depth_source: str = ""
