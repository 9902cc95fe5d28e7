"""Cells of a column of quality: means with intervals, and marks that hold for the whole column."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench3r.metrics.statistics import MARKS_FROM, Interval
from bench3r.protocols import metric_of
from bench3r.protocols.base import Metric
from bench3r.report.columns import Column, digits_of, fixed
from bench3r.report.floor import MEANING as NO_BETTER_MEANS
from bench3r.report.floor import NO_BETTER, is_no_better, trivial_of
from bench3r.report.settings import Setting
from bench3r.report.summary import Difference, Pair, backbone_of, differences, interval, places
from bench3r.report.tables import MISSING

TIED = "†"  # in the tie group of the best
LIKE_BACKBONE = "≈"  # not told apart from the unchanged backbone
RAW = (
    "mean",
    "low",
    "high",
    "n",
    "tied_with_best",
    "no_better_than_trivial",
    "delta_vs_backbone",
    "delta_low",
    "delta_high",
    "delta_n",
    "delta_p",
    "effect_size",
)
MANY = (
    "[low, high]: 95 % CI over scenes, {}: all means that neither the exact sign-flip nor the "
    "studentised bootstrap refuses."
)
TOO_FEW = (
    f"Fewer than {MARKS_FROM} scenes tell no difference (2 of 2^n signs are more than 5 %): "
    "nothing is marked."
)
FEW = "[low, high]: 95 % CI over scenes, {}: Student's t, widened for skewed values. " + TOO_FEW
MARKS = (
    f"**best** and _second best_ method (controls are not ranked); {TIED}: not told apart from the "
    f"best; {LIKE_BACKBONE}: nor from its unchanged backbone. Told apart: the paired difference "
    "exceeds rounding, its 95 % CI excludes zero, and p ≤ 5 % corrected for all comparisons of the "
    "column with the best and with backbones (Benjamini-Hochberg: of the differences found 5 % are "
    "false at most). "
    f"{NO_BETTER_MEANS}."
)


class Cell(NamedTuple):
    """An entry of a table: as shown, and its raw numbers by name."""

    text: str
    numbers: Mapping[str, float]


NOTHING = Cell(MISSING, {})


@dataclass
class Scores:
    """One column of a table: scenes (rows) by settings, seeds averaged."""

    values: pd.DataFrame
    column: Column
    weights: pd.Series | None = None  # of scenes

    @property
    def metric(self) -> Metric:
        """What is compared."""
        return metric_of(self.column.protocol, self.column.metric)

    @cached_property
    def means(self) -> dict[Setting, Interval]:
        """Mean and interval of every setting that has a value."""
        found = {s: interval(self.values[s], self.weights) for s in self.values.columns}
        return {s: mean for s, mean in found.items() if mean is not None}

    @cached_property
    def scenes(self) -> int:
        """The most scenes that a setting has values of."""
        return max((found.n for found in self.means.values()), default=0)

    @cached_property
    def places(self) -> dict[Setting, int]:
        """0 for the best, 1 for the second; empty with too few scenes.

        Controls are left out, and who lacks a value: its mean is of other scenes.
        """
        if self.scenes < MARKS_FROM:
            return {}
        means = {}
        for setting, found in self.means.items():
            if found.n == self.scenes and not setting.is_control:
                means[setting] = found.mean
        return places(means, self.metric)

    @property
    def best(self) -> Setting | None:
        """The best setting; None where there is none, or too few scenes to tell."""
        return next(iter(self.places), None)

    @cached_property
    def trivial(self) -> Setting | None:
        """The trivial control."""
        return trivial_of(self.values.columns)

    @cached_property
    def told(self) -> dict[Pair, Difference]:
        """All comparisons of the column, corrected as one family.

        Of every method to the best and to its unchanged backbone.
        """
        pairs: list[Pair] = []
        for setting in self.methods:
            others = (backbone_of(self.values, setting), self.best)
            pairs += [(setting, other) for other in others if other is not None]
        return differences(self.values, pairs, self.weights, self.metric)

    @cached_property
    def over_trivial(self) -> dict[Pair, Difference]:
        """Every method minus the trivial control."""
        if self.trivial is None:
            return {}
        pairs = [(setting, self.trivial) for setting in self.methods]
        return differences(self.values, pairs, self.weights, self.metric)

    @property
    def methods(self) -> list[Setting]:
        """The settings that are no controls."""
        return [setting for setting in self.values.columns if not setting.is_control]

    def against(self, setting: Setting, other: Setting | None) -> Difference | None:
        """``setting`` minus ``other``, if they are compared."""
        return None if other is None else self.told.get((setting, other))

    def against_backbone(self, setting: Setting) -> Difference | None:
        """``setting`` minus its unchanged backbone."""
        return self.against(setting, backbone_of(self.values, setting))

    def against_trivial(self, setting: Setting) -> Difference | None:
        """``setting`` minus the trivial control."""
        return None if self.trivial is None else self.over_trivial.get((setting, self.trivial))

    @cached_property
    def tied(self) -> set[Setting]:
        """The tie group of the best: itself, and those that are not told apart from it."""
        if self.best is None:
            return set()
        tied = {self.best}
        for setting in self.places:
            found = self.against(setting, self.best)
            if found is not None and found.alike:
                tied.add(setting)
        return tied

    def cell(self, setting: Setting) -> Cell:
        """Mean, interval and marks of one setting."""
        found = self.means.get(setting)
        if found is None:
            return NOTHING
        text = mean_text(found, self.metric, self.places.get(setting))
        if found.n < self.scenes:
            text += f" (n = {found.n})"
        if len(self.tied) > 1 and setting in self.tied:
            text += TIED
        delta = self.against_backbone(setting)
        if delta is not None and delta.alike:
            text += f" {LIKE_BACKBONE}"
        no_better = is_no_better(self.against_trivial(setting), self.metric.better)
        if no_better:
            text += f" {NO_BETTER}"
        numbers: dict[str, float] = {
            "mean": found.mean,
            "low": found.low,
            "high": found.high,
            "n": found.n,
            "tied_with_best": setting in self.tied,
            "no_better_than_trivial": no_better,
        }
        return Cell(text, numbers | difference_numbers(delta))


def mean_text(found: Interval, metric: Metric, place: int | None) -> str:
    """A mean with its interval; the best (place 0) and the second best are marked.

    It has the metric's digits, and more where the interval is narrower: never fewer, because
    settings are compared in pairs, whose differences are finer than the interval of one mean.
    """
    noise = metric.noise.at(found.mean)
    digits = max(metric.digits, digits_of(found.low, found.high, metric.digits, noise))
    text = fixed(found.mean, digits)
    if place == 0:
        text = f"**{text}**"
    elif place == 1:
        text = f"_{text}_"
    if np.isfinite(found.low):
        text += f" [{fixed(found.low, digits)}, {fixed(found.high, digits)}]"
    return text


def difference_numbers(delta: Difference | None) -> dict[str, float]:
    """The raw numbers of a difference to the unchanged backbone; none without one."""
    if delta is None:
        return {}
    return {
        "delta_vs_backbone": delta.interval.mean,
        "delta_low": delta.interval.low,
        "delta_high": delta.interval.high,
        "delta_n": delta.interval.n,
        "delta_p": delta.p,
        "effect_size": delta.effect,
    }


def raw_values(cells: list[Cell], part: str) -> list[float | None]:
    """The raw number called ``part`` of every cell; None where it has none."""
    return [cell.numbers.get(part) for cell in cells]


def interval_notes(scenes: Collection[int], marks: bool = True) -> list[str]:
    """What intervals, and ``marks`` if there are, say over so many ``scenes`` of columns."""
    few = sorted({n for n in scenes if 1 < n < MARKS_FROM})
    many = sorted({n for n in scenes if n >= MARKS_FROM})
    notes = [MANY.format(_counted(many))] if many else []
    notes += [MARKS] if many and marks else []
    return [*notes, FEW.format(_counted(few))] if few else notes


def _counted(scenes: list[int]) -> str:
    return f"n = {' and '.join(map(str, scenes))}"
