"""What the answer is computed from: savings, losses and comparisons of the main methods."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from bench3r.measure.pairs import Ratio
from bench3r.protocols import metric_of
from bench3r.report.columns import Column, by_interval, column_of
from bench3r.report.cost_columns import MISSING
from bench3r.report.equal_cost import NO_CONTROL, Against, EqualCosts
from bench3r.report.evidence import Evidence
from bench3r.report.floor import NO_BETTER, is_no_better, trivial_of
from bench3r.report.names import metric_words, name_of
from bench3r.report.settings import Setting, settings_of
from bench3r.report.summary import (
    Difference,
    backbone_of,
    common_scenes,
    differences,
    of_scenes,
    weights_of,
)
from bench3r.report.time_columns import SUSPECT
from bench3r.report.words import BETTER, FEW, against_in_words, in_words


def trivial_word(found: Difference, column: Column) -> str:
    """Whether a method is better than the trivial control, in words."""
    if not found.interval.decides:
        return FEW
    return NO_BETTER_WORDS if is_no_better(found, column.better) else BETTER


def percent_text(ratio: Ratio) -> str:
    """The share of time that a paired ratio saves, with its interval and pairs, and any doubt."""
    saved = ratio.saved
    text = f"{by_interval(100 * saved.value, 100 * saved.low, 100 * saved.high, 1)} %"
    doubt = f", {SUSPECT.strip('()')}" if ratio.suspect else ""
    return f"{text} ({ratio.n} pairs{doubt})"


NO_BETTER_WORDS = f"no better {NO_BETTER}"
CD = column_of("pi3_pointmap/chamfer_norm")
POSE = column_of("relpose_pi3/auc30")


@dataclass
class Facts:
    """The main comparison of one frame count, asked for the first screen."""

    e: Evidence

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Scores of the main comparison."""
        return self.e.rows_of("main")

    @cached_property
    def settings(self) -> list[Setting]:
        """All of it, in planned order."""
        return settings_of(self.rows)

    @cached_property
    def plugins(self) -> list[Setting]:
        """What changes a backbone."""
        return [setting for setting in self.settings if setting.kind == "plugin"]

    @cached_property
    def common(self) -> pd.Index:
        """Scenes that every setting finished."""
        return common_scenes(self.rows)

    @cached_property
    def scenes(self) -> int:
        """How many scenes comparisons stand on; seeds repeat a scene."""
        return len(self.values(CD).dropna(how="all"))

    @cached_property
    def _columns(self) -> dict[str, pd.DataFrame]:
        return {}

    def values(self, column: Column) -> pd.DataFrame:
        """Values of ``column`` on the common scenes: scenes by settings."""
        if column.key not in self._columns:
            self._columns[column.key] = of_scenes(self.rows, column, self.common)
        return self._columns[column.key]

    def name(self, setting: Setting) -> str:
        """How ``setting`` is called in the main comparison."""
        return name_of(setting, self.rows)

    def told(self, column: Column, pairs: dict[Setting, Setting]) -> dict[Setting, Difference]:
        """Every setting minus what ``pairs`` sets it against, as one family of comparisons."""
        metric = metric_of(column.protocol, column.metric)
        weights = weights_of(self.rows, column)
        found = differences(self.values(column), list(pairs.items()), weights, metric)
        return {pair[0]: one for pair, one in found.items()}

    def losses(self, column: Column) -> dict[Setting, Difference]:
        """Every plug-in minus its unchanged backbone."""
        pairs = {}
        for setting in self.plugins:
            backbone = backbone_of(self.values(column), setting)
            if backbone is not None:
                pairs[setting] = backbone
        return self.told(column, pairs)

    def paired(self) -> list[Setting]:
        """Plug-ins that were timed in turn with their unchanged backbone."""
        return [s for s in self.plugins if self.e.time_ratio(s) is not None]

    def faster(self) -> list[Setting]:
        """Those that take less time beyond what pairs vary by: the fastest first, suspect last."""
        found: list[tuple[bool, float, Setting]] = []
        for setting in self.paired():
            ratio = self.e.time_ratio(setting)
            if ratio is not None and ratio.value < 1 and ratio.differs:
                found.append((bool(ratio.suspect), ratio.value, setting))
        return [setting for _, _, setting in sorted(found)]

    def flops(self, setting: Setting) -> float:
        """FLOPs on the common scenes; NaN when not counted."""
        return self.e.flops_on_scenes(setting, self.common)

    def flop_saving(self, setting: Setting) -> float:
        """Share of the unchanged backbone's FLOPs that are saved; NaN when not counted."""
        backbone = backbone_of(pd.DataFrame(columns=self.index), setting)
        return math.nan if backbone is None else 1 - self.flops(setting) / self.flops(backbone)

    @cached_property
    def index(self) -> pd.Index:
        """All settings as the columns of a table."""
        return pd.Index(self.settings, tupleize_cols=False)

    def cheapest(self) -> Setting | None:
        """The method that saves the largest share of FLOPs, where one saves any."""
        methods = [setting for setting in self.plugins if setting not in self.controls]
        saving = {s: self.flop_saving(s) for s in methods}
        known = {s: share for s, share in saving.items() if share > 0}
        return max(known, key=lambda s: known[s], default=None)

    def loss_text(self, setting: Setting, column: Column = CD) -> str:
        """What ``setting`` loses in ``column`` against its backbone, with interval and n."""
        found = self.losses(column).get(setting)
        if found is None:
            return f"{metric_words(column)} not compared"
        d = found.interval
        text = by_interval(d.mean, d.low, d.high, column.digits, signed=True)
        word = in_words(found, column)
        verdict = "" if word == FEW else f", {word}"
        return f"{metric_words(column)} {text} (n = {d.n}{verdict})"

    def saved_time(self, setting: Setting) -> str:
        """Time that ``setting`` saves, and at what loss."""
        ratio = self.e.time_ratio(setting)
        text = "no time" if ratio is None else percent_text(ratio)
        return f"{text}, {self.loss_text(setting)}"

    def saved_flops(self, setting: Setting) -> str:
        """FLOPs that ``setting`` saves, and at what loss."""
        return f"{self.flop_saving(setting):.1%}, {self.loss_text(setting)}"

    @cached_property
    def equal_costs(self) -> EqualCosts:
        """The comparisons at equal cost."""
        return EqualCosts(self.e)

    @property
    def controls(self) -> list[Setting]:
        """The plainly shallower models."""
        return self.equal_costs.controls

    @cached_property
    def equal_cost(self) -> dict[Setting, Against]:
        """Every method against the control of its cost, where there is one."""
        return self.equal_costs.against(CD) if self.controls else {}

    def cost_word(self, setting: Setting) -> str:
        """Whether ``setting`` is better than the control of its cost, in words."""
        if setting not in self.equal_costs.compared:
            return MISSING
        found = self.equal_cost.get(setting)
        return NO_CONTROL if found is None else against_in_words(found, CD)

    def damage_text(self) -> str:
        """What fine-tuning cost the control itself, in brackets."""
        for backbone in dict.fromkeys(s.backbone for s in self.controls):
            found = self.equal_costs.damage(CD, backbone)
            if found is not None:
                d = found.interval
                text = by_interval(d.mean, d.low, d.high, CD.digits, signed=True)
                return f" (at full depth {text}, n = {d.n})"
        return ""

    @cached_property
    def trivial(self) -> Setting | None:
        """The trivial control of the run."""
        return trivial_of(self.settings)

    def trivial_words(self, column: Column) -> dict[Setting, str]:
        """Whether each ranked setting is better than the trivial control, in words."""
        if self.trivial is None:
            return {}
        ranked = [setting for setting in self.settings if not setting.is_control]
        told = self.told(column, dict.fromkeys(ranked, self.trivial))
        return {setting: trivial_word(found, column) for setting, found in told.items()}
