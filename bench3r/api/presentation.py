"""What a method file may declare about its results: facts that it records, report sections, and a paper's own numbers.

Declarations are plain data. ``bench3r/report/sections/`` draws them, so a method brings its tables and figures without
importing any of the reporting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FactValue = bool | int | float | str | list[int] | list[float] | list[str] | None


@dataclass(frozen=True)
class Fact:
    """A value that a method records of every scene, beside its reconstruction (``Reconstruction.facts``)."""

    name: str
    meaning: str
    unit: str = ""


@dataclass(frozen=True)
class OptionTable:
    """A table of its own form for ablations in which ``option`` of the method varies.

    ``columns`` are metrics as "protocol/metric"; where the run scored none of them the usual columns stand. ``facts`` are
    shown as means over scenes. ``storage``: how many bytes the weights take, and how much less than fp32 and bf16.
    ``reported``: by value of the option, a paper's own numbers by column title.
    """

    option: str
    title: str
    columns: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    storage: bool = False
    by_dataset: bool = False  # a table for every dataset
    reported: Mapping[object, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OptionMap:
    """A heat map of quality over two numeric options (rows, columns), in ablations in which both vary."""

    rows: str
    columns: str
    title: str


@dataclass(frozen=True)
class LayerValues:
    """One number per layer that the train stage recorded (``layers`` of its record): a table, or a bar for each.

    ``threshold``: bars above it stand out; None: a table.
    """

    title: str
    label: str
    threshold: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComponentTable:
    """Parameters and share of FLOPs of named components (label -> names of parts), beside the unchanged backbone's."""

    title: str
    components: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()


MethodSection = OptionTable | OptionMap | LayerValues | ComponentTable


@dataclass(frozen=True)
class Reported:
    """A paper's own numbers, shown in (parentheses) and never mixed with ours.

    ``rows``: by name of a method, its values by column title. ``depth_shares``: by scene type, the share of patches at
    recursion depth 1, 2, ...
    """

    source: str  # paper, table, device and what it leaves unstated
    paper: str  # how the paper is called in a row's label
    rows: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    depth_shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
