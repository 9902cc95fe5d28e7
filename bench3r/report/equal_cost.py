"""A method against a plainly shallower model of the same cost, paired by scene."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from bench3r.models.catalogue import reference_of
from bench3r.protocols import metric_of
from bench3r.report.columns import Column
from bench3r.report.evidence import Evidence, methods
from bench3r.report.names import name_of
from bench3r.report.settings import Setting, settings_of
from bench3r.report.summary import (
    Difference,
    Pair,
    common_scenes,
    difference,
    differences,
    of_scenes,
    weights_of,
)

TOLERANCE = 0.02  # of the FLOPs: within it a control is of equal cost
NO_CONTROL = "no control of this cost"


class CurvePoint(NamedTuple):
    """A setting of the control: what it is called, its FLOPs, its value on every scene."""

    name: str
    flops: float
    values: pd.Series


class Control(NamedTuple):
    """The control at a cost: its value on every scene, and which settings it is made from."""

    values: pd.Series
    made_from: str


class Against(NamedTuple):
    """A method minus the control of its cost, corrected for all methods that are compared.

    ``undamaged``: minus the same control without what it lost by being fine-tuned; None where that
    is not known.
    """

    difference: Difference
    made_from: str
    undamaged: Difference | None


def at_cost(curve: list[CurvePoint], flops: float) -> Control | None:
    """The control at ``flops``: measured within TOLERANCE, or linear between two settings.

    None when the control has no such cost.
    """
    for low, high in itertools.pairwise(curve):
        if low.flops < flops < high.flops:
            share = (flops - low.flops) / (high.flops - low.flops)
            between = (1 - share) * low.values + share * high.values
            return Control(between, f"between {low.name} and {high.name}")
    near = min(curve, key=lambda point: abs(point.flops - flops), default=None)
    if near is None or abs(near.flops / flops - 1) > TOLERANCE:
        return None
    return Control(near.values, near.name)


@dataclass
class EqualCosts:
    """The comparisons at equal cost of one frame count."""

    e: Evidence

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Scores of what is compared."""
        return self.e.ranked(self.e.everywhere())

    @cached_property
    def common(self) -> pd.Index:
        """The scenes that all of them finished."""
        return common_scenes(self.rows)

    @cached_property
    def flops(self) -> dict[Setting, float]:
        """FLOPs on those scenes; NaN where they were not counted."""
        return {s: self.e.flops_on_scenes(s, self.common) for s in settings_of(self.rows)}

    @cached_property
    def controls(self) -> list[Setting]:
        """The settings of plainly shallower models, ascending in FLOPs."""
        known = {name for name, method in methods().items() if method.depth_control}
        own = [s for s in self.flops if s.method in known and math.isfinite(self.flops[s])]
        return sorted(own, key=lambda s: self.flops[s])

    @cached_property
    def compared(self) -> list[Setting]:
        """The plug-ins whose FLOPs were counted, controls left out."""
        own = []
        for setting, flops in self.flops.items():
            plugin = setting.kind == "plugin" and setting not in self.controls
            if plugin and math.isfinite(flops) and self.on_backbone(setting):
                own.append(setting)
        return own

    def on_backbone(self, setting: Setting) -> list[Setting]:
        """The controls on the backbone of ``setting``."""
        return [c for c in self.controls if c.backbone == setting.backbone]

    def name(self, setting: Setting) -> str:
        """How ``setting`` is called among all that is compared."""
        return name_of(setting, self.rows)

    def control(self, values: pd.DataFrame, setting: Setting) -> Control | None:
        """The control of the cost of ``setting``; ``values``: scenes by settings."""
        curve = []
        for one in self.on_backbone(setting):
            if one in values.columns:
                curve.append(CurvePoint(self.name(one), self.flops[one], values[one]))
        return at_cost(curve, self.flops[setting])

    def against(self, column: Column) -> dict[Setting, Against]:
        """Every method minus the control of its cost, where there is one, in ``column``."""
        values = of_scenes(self.rows, column, self.common)
        compared = values.copy()
        made: dict[Setting, str] = {}
        for setting in self.compared:
            found = self.control(values, setting)
            if found is not None and setting in values.columns:
                made[setting] = found.made_from
                compared[_called(setting, "control")] = found.values
                lost = self.lost(values, setting.backbone)
                compared[_called(setting, "undamaged")] = found.values - lost
        told = self._told(compared, column, made)
        out = {}
        for setting, text in made.items():
            own = told.get((setting, _called(setting, "control")))
            if own is not None:
                undamaged = told.get((setting, _called(setting, "undamaged")))
                out[setting] = Against(own, text, undamaged)
        return out

    def _told(
        self, values: pd.DataFrame, column: Column, settings: Iterable[Setting]
    ) -> dict[Pair, Difference]:
        """Every setting minus both of its controls, each a family of comparisons."""
        weights = weights_of(self.rows, column)
        metric = metric_of(column.protocol, column.metric)
        found: dict[Pair, Difference] = {}
        for what in ("control", "undamaged"):
            pairs = [(setting, _called(setting, what)) for setting in settings]
            found |= differences(values, pairs, weights, metric)
        return found

    def lost(self, values: pd.DataFrame, backbone: str) -> pd.Series:
        """What the control of the unchanged ``backbone``'s cost is off from it, by scene.

        NaN where no control costs the same.
        """
        pair = self._of_full_cost(backbone)
        if pair is None or not set(pair) <= set(values.columns):
            return pd.Series(math.nan, index=values.index)
        control, unchanged = pair
        return values[control] - values[unchanged]

    def damage(self, column: Column, backbone: str) -> Difference | None:
        """What the control lost by being made: its setting of the unchanged FLOPs, minus that.

        None where no control costs what the unchanged ``backbone`` does.
        """
        pair = self._of_full_cost(backbone)
        if pair is None:
            return None
        values = of_scenes(self.rows, column, self.common)
        weights = weights_of(self.rows, column)
        return difference(values, *pair, weights, metric_of(column.protocol, column.metric))

    def _of_full_cost(self, backbone: str) -> Pair | None:
        """The control that costs what the unchanged ``backbone`` does, and the backbone."""
        wanted = reference_of(backbone)
        for unchanged in self.flops:
            if unchanged.method != wanted or unchanged.kind != "backbone":
                continue
            for one in self.on_backbone(unchanged):
                if abs(self.flops[one] / self.flops[unchanged] - 1) <= TOLERANCE:
                    return one, unchanged
        return None


def _called(setting: Setting, what: str) -> Setting:
    """The column that holds the control at the cost of ``setting``."""
    return setting._replace(method=what)
