"""What a protocol is: a named, versioned scoring rule, and the metrics that it declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from bench3r.api.errors import Bench3RError, unknown
from bench3r.protocols.missing import NOT_APPLICABLE, NotApplicable

if TYPE_CHECKING:
    from bench3r.protocols.scored import Scored

Better = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class Metric:
    """A number of a protocol, and how everything that compares or prints it has to read it."""

    name: str
    # "unit": the dataset's own unit of length; "median depths": true median depths of the scene
    unit: str
    better: Better  # which way is better; "" for counts and diagnostics, where neither is
    label: str  # head of a table's column, without unit and arrow
    digits: int = 3  # after the decimal point, in tables


class Scores(NamedTuple):
    """The metrics of one scene under one protocol, and the reasons of those that are missing."""

    metrics: dict[str, float]
    missing: dict[str, str]


@dataclass(frozen=True)
class Protocol:
    """A scoring rule. Its module is called like it and says in its docstring what the rule is."""

    name: str
    version: int  # goes up when a change of the rule changes scores
    metrics: tuple[Metric, ...]
    score: Callable[[Scored], dict[str, float]]  # metrics of a scene, nan or left out when missing
    weight: str | None = None  # the metric that weighs scenes in means; None: all count the same
    nan_reason: str = "not finite"  # why a metric that ``score`` leaves out is missing
    label: str = ""  # as printed; "": its name

    @property
    def title(self) -> str:
        """How it is called in captions."""
        return self.label or self.name.replace("_", " ")

    def metric(self, name: str) -> Metric:
        """Its metric called ``name``. Raises Bench3RError without one."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        known = [metric.name for metric in self.metrics]
        raise unknown("metric", name, known, f"protocol {self.name}")

    def evaluate(self, scored: Scored) -> Scores:
        """Score a scene; what cannot be computed is missing, with the reason."""
        names = [metric.name for metric in self.metrics]
        try:
            found = self.score(scored)
        except (ValueError, np.linalg.LinAlgError, Bench3RError) as error:
            mark = NOT_APPLICABLE if isinstance(error, NotApplicable) else ""
            return Scores({}, dict.fromkeys(names, f"{mark}{error}"))
        finite = {name: float(value) for name, value in found.items() if np.isfinite(value)}
        missing = {name: self.nan_reason for name in names if name not in finite}
        return Scores(finite, missing)
