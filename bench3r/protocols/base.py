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


class Noise(NamedTuple):
    """By how much rounding alone may move a metric: the larger of both parts.

    Two runs of one network that differ in threads, batching or the order of sums give outputs that
    differ by some 1e-6 of their size; metrics of predictions perturbed by that moved by less than
    what is stated here (``tests/protocols/test_noise.py``). A difference within it is a tie.
    """

    relative: float = 1e-4  # share of the value
    absolute: float = 0.0  # in the metric's unit

    def at(self, value: float) -> float:
        """The noise of a metric at ``value``, in its unit."""
        return max(self.relative * abs(value), self.absolute)


ROUNDING = Noise()  # sums over pixels after a closed-form alignment
MATCHED = Noise(1e-3)  # distances after ICP, whose stopping rule turns on single pairs of points
VOXELS = Noise(5e-3)  # the same after thinning, or of averages in voxels, which points cross
NORMALS = Noise(0, 5e-4)  # cosines of normals of 30 neighbours, which are others after ICP
COUNTED = Noise(0, 1e-4)  # shares of pixels or pairs within a threshold: single ones cross it
COUNTED_POINTS = Noise(0, 1e-3)  # shares of points within a threshold after ICP
ANGLE = Noise(1e-4, 1e-3)  # degrees between rotations
DIRECTION = Noise(1e-3, 1e-2)  # degrees between directions: cameras may lie close to each other
CLOSENESS = Noise(1e-3, 1e-5)  # errors that may be 0: of a backbone to itself, of aligned poses


@dataclass(frozen=True)
class Metric:
    """A number of a protocol, and how everything that compares or prints it has to read it."""

    name: str
    # "unit": the dataset's own unit of length; "median depths": true median depths of the scene
    unit: str
    better: Better  # which way is better; "" for counts and diagnostics, where neither is
    label: str  # head of a table's column, without unit and arrow
    digits: int = 3  # after the decimal point, in tables
    noise: Noise = ROUNDING  # what rounding alone may change

    def tied(self, a: float, b: float) -> bool:
        """Whether the values ``a`` and ``b`` differ by no more than rounding may change."""
        return abs(a - b) <= max(self.noise.at(a), self.noise.at(b))


class Scores(NamedTuple):
    """The metrics of one scene under one protocol, and the reasons of those that are missing."""

    metrics: dict[str, float]
    missing: dict[str, str]


# point maps by the two official evaluations that measure accuracy, completeness and normals
CHAMFER = Metric("chamfer", "unit", "lower", "CD", noise=MATCHED)
SURFACE = (
    Metric("acc_mean", "unit", "lower", "accuracy", noise=MATCHED),
    Metric("acc_median", "unit", "lower", "accuracy (median)", noise=MATCHED),
    Metric("comp_mean", "unit", "lower", "completeness", noise=MATCHED),
    Metric("comp_median", "unit", "lower", "completeness (median)", noise=MATCHED),
    Metric("nc_mean", "cosine", "higher", "NC", noise=NORMALS),
    Metric("nc_median", "cosine", "higher", "NC (median)", noise=NORMALS),
)


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
