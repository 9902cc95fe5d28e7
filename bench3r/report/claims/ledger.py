"""Claims and contradictions as they stand in claims.yaml."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bench3r.files import read_yaml
from bench3r.report.claims.rules import (
    Arithmetic,
    Elsewhere,
    Measurement,
    Number,
    Place,
    PublishedRule,
    Text,
)
from bench3r.report.claims.rules_here import HereRule

ClaimRule = Annotated[
    Arithmetic | HereRule | PublishedRule | Elsewhere, Field(discriminator="kind")
]
ContradictionRule = Annotated[Arithmetic | Text, Field(discriminator="kind")]
FILE = Path(__file__).with_name("claims.yaml")


class Claim(BaseModel):
    """What a paper says, in our own words, with its number and where it stands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    paper: str
    statement: str
    quantity: str
    value: Number | str | list[Number | str | None]
    unit: str
    conditions: str
    source_table: str
    evidence: str
    note: str = ""
    rule: ClaimRule

    @property
    def reported(self) -> str:
        """The numbers as a reader sees them, with their names and units where they have some."""
        several = self.value if isinstance(self.value, list) else [self.value]
        values = ["–" if value is None else str(value) for value in several]
        names = self.quantity.strip("[]").split(", ")
        if self.quantity.startswith("[") and len(names) == len(values):
            values = [f"{name} {value}" for name, value in zip(names, values, strict=True)]
        units = re.split("[,;] ", self.unit)
        if len(units) == len(values):
            return ", ".join(map(_with_unit, values, units))
        return _with_unit(", ".join(values), self.unit)

    @property
    def place(self) -> str:
        """The paper, and the table, figure or section of it."""
        return f"{self.paper}, {self.source_table}"


def _with_unit(value: str, unit: str) -> str:
    if unit in ("-", "1", "mixed", "ratio"):
        return value
    return f"{value} (unit not stated)" if unit == "unstated" else f"{value} {unit}"


class Contradiction(BaseModel):
    """Where a paper contradicts itself or another."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    paper: str
    topic: str
    statement: str
    rule: ContradictionRule


class Tolerances(BaseModel):
    """How far what is measured may be off from what a paper reports."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: float  # share of the reported number
    memory: float  # share
    error: float  # share
    ratio: float  # share
    share: float  # of scores between 0 and 1: absolute


class Ledger(BaseModel):
    """All of the file.

    ``metrics``: what is measured here ("protocol/metric") for a quantity of the papers.
    ``outside``: methods and backbones that papers compare with and that are not part of Bench3R, by
    name. ``places``: conditions of papers by name; ``tables``: what the numbers of a claim are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metrics: dict[str, str]
    tolerances: Tolerances
    devices: dict[str, list[str]]  # by class of GPU, parts of their names
    outside: dict[str, str]
    places: dict[str, Place]
    tables: dict[str, list[Measurement]]
    claims: list[Claim]
    contradictions: list[Contradiction]

    @cached_property
    def by_id(self) -> dict[str, Claim]:
        """Claims by their id."""
        return {claim.id: claim for claim in self.claims}

    def number(self, term: Number | str) -> float:
        """A number, or that of a claim: "ID" or "ID[place]". Raises KeyError for an unknown one."""
        return self.printed(term)[0]

    def printed(self, term: Number | str) -> tuple[float, float]:
        """A number as :meth:`number`, and half a unit of its last printed digit."""
        if isinstance(term, str):
            match = re.fullmatch(r"(.+?)(?:\[(\d+)\])?", term)
            if match is None:
                raise KeyError(term)
            value = self.by_id[match[1]].value
            found = value[int(match[2])] if isinstance(value, list) else value
            assert isinstance(found, int | float)
            term = found
        return float(term), half_digit(term)


def half_digit(value: Number) -> float:
    """Half a unit of the last digit of ``value`` as it is written: 0.5 of 54, 0.05 of 11.6."""
    exponent = Decimal(repr(value)).as_tuple().exponent
    assert isinstance(exponent, int)
    return 0.5 * 10.0 ** min(0, exponent)


@cache
def ledger() -> Ledger:
    """The ledger that ships with Bench3R."""
    return Ledger.model_validate(read_yaml(FILE))
