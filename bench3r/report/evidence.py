"""What a report is made from: a run's collected records, and the questions that sections ask them.

An :class:`Evidence` holds the records of one frame count, because scenes of different length are
never averaged together; :class:`RunEvidence` holds all of a run. Tables always have their columns,
also where a run has no rows for them, so that a question about missing results has an empty answer
and not an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from bench3r.api.method import METHODS, Method
from bench3r.api.presentation import OptionTable
from bench3r.measure.pairs import Ratio
from bench3r.measure.rungs import SETUPS
from bench3r.models.catalogue import reference_backbone
from bench3r.report.costs import CostRow, by_place
from bench3r.report.memo import once_per_table
from bench3r.report.settings import (
    SCENE,
    SETTING,
    Place,
    Scene,
    Setting,
    varied_options,
)
from bench3r.run import paths
from bench3r.run.plan import Plan

S = TypeVar("S")

FACTS = ["cell", *SETTING, *SCENE, "scene_type", "flops"]  # and what methods declare
TRAININGS = ["training", "method", "options", "seed", "steps", "scenes", "seconds", "backbone"]
TRAININGS += ["layers", "shipped", "device"]


def methods() -> dict[str, type[Method]]:
    """The methods that can be used here, by name: their declarations say what a report shows."""
    return METHODS.usable()[0]


def declarations(kind: type[S]) -> list[tuple[str, S]]:
    """Every section of ``kind`` that a method declares, with the method's name."""
    found: list[tuple[str, S]] = []
    for name, method in methods().items():
        for section in method.sections:
            if isinstance(section, kind):
                found.append((name, section))
    return found


def with_columns(table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """``table`` with all ``columns``, empty where it lacks them."""
    missing = [c for c in columns if c not in table]
    return table.reindex(columns=[*table.columns, *missing]) if missing else table


@once_per_table
def without_controls(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` without those of controls."""
    return rows[~rows["kind"].eq("control")]


@dataclass
class Evidence:
    """The records of one frame count."""

    plan: Plan
    table: pd.DataFrame  # scores: one row per scene and metric
    costs: list[CostRow]  # at all frame counts of the run
    facts: pd.DataFrame  # what methods recorded: one row per cell and scene
    trainings: pd.DataFrame
    frames: int
    suffix: str = ""  # of file names, where a run has several frame counts

    def __post_init__(self) -> None:
        declared = [fact.name for method in methods().values() for fact in method.facts]
        self.facts = with_columns(self.facts, dict.fromkeys([*FACTS, *declared]))
        self.trainings = with_columns(self.trainings, TRAININGS)

    @property
    def ablations(self) -> list[str]:
        """Names of the comparisons that the run asks for beside the main one."""
        return list(self.plan.config.ablations)

    def rows_of(self, name: str) -> pd.DataFrame:
        """Scores of the cells in the comparison ``name``.

        Ablations also get the unchanged backbones on the same scenes.
        """
        if name not in self._rows:
            self._rows[name] = self.table.iloc[self._places_of(name)]
        return self._rows[name]

    @cached_property
    def _rows(self) -> dict[str, pd.DataFrame]:
        """What :meth:`rows_of` has found: one table each, about which answers are kept."""
        return {}

    def everywhere(self) -> pd.DataFrame:
        """Scores of the main methods, and of ablations that are declared to join them."""
        return self._everywhere

    @cached_property
    def _everywhere(self) -> pd.DataFrame:
        joined = [name for name, table in self.option_tables().items() if table.joins_main]
        if not joined:
            return self.rows_of("main")
        places = np.concatenate([self._places_of(name) for name in ("main", *joined)])
        return self.table.iloc[pd.unique(places)]

    def _places_of(self, name: str) -> np.ndarray:
        """The rows [N] of the table that stand in the comparison ``name``, in its order."""
        inside = {cell.id for cell in self.plan.cells if name in cell.tables}
        chosen = self.table["cell"].isin(inside).to_numpy()
        if name == "main":
            return np.flatnonzero(chosen)
        unchanged = {*self.table["backbone"][chosen], reference_backbone()}
        dense = self.table["method"].isin(unchanged) & self.table["kind"].eq("backbone")
        beside = self._scene_keys.isin(self._scene_keys[chosen].unique())
        dense_beside = dense.to_numpy() & beside
        only_chosen = chosen & ~dense_beside
        return np.concatenate([np.flatnonzero(dense_beside), np.flatnonzero(only_chosen)])

    @cached_property
    def _scene_keys(self) -> pd.MultiIndex:
        """The scene of every score."""
        return pd.MultiIndex.from_frame(self.table[SCENE])

    def ranked(self, rows: pd.DataFrame) -> pd.DataFrame:
        """``rows`` without those of controls."""
        return without_controls(rows)

    def option_tables(self) -> dict[str, OptionTable]:
        """By ablation the table of its own form that a method declares for it, if one does.

        That is where exactly the declared option of that method varies.
        """
        varied = self._varied
        found: dict[str, OptionTable] = {}
        for method, section in declarations(OptionTable):
            for name in self.ablations:
                if varied.get((name, method)) == [section.option] and name not in found:
                    found[name] = section
                    break
        return {name: found[name] for name in self.ablations if name in found}

    def ablations_over(self, method: str, options: Iterable[str]) -> list[str]:
        """Ablations in which exactly ``options`` of ``method`` vary."""
        wanted = sorted(options)
        varied = self._varied
        return [n for n in self.ablations if sorted(varied.get((n, method), [])) == wanted]

    @cached_property
    def _varied(self) -> dict[tuple[str, str], list[str]]:
        """By ablation and method the options that vary in the plan."""
        found: dict[tuple[str, str], list[Setting]] = {}
        for cell in self.plan.cells:
            options = json.dumps(cell.options, sort_keys=True)
            one = Setting(cell.method, cell.label, cell.kind, options, cell.backbone)
            for name in cell.tables:
                found.setdefault((name, cell.method), []).append(one)
        return {key: varied_options(settings) for key, settings in found.items()}

    def measured(self) -> list[CostRow]:
        """The costs at this frame count that were measured."""
        return [cost for cost in self.costs if cost.ok and cost.frames == self.frames]

    def cost_of(self, setting: Setting) -> CostRow | None:
        """What the profile stage says of ``setting`` at this frame count, measured or not."""
        return self._costs_by_place.get((setting.place, self.frames))

    def profile_of(self, setting: Setting) -> CostRow | None:
        """What ``setting`` costs at this frame count; None when that was not measured."""
        found = self.cost_of(setting)
        return found if found is not None and found.ok else None

    @cached_property
    def _costs_by_place(self) -> dict[tuple[Place, int], CostRow]:
        return by_place(self.costs)

    def time_ratio(self, setting: Setting) -> Ratio | None:
        """Paired time of ``setting`` over its unchanged backbone's, with its interval.

        The only comparison of times that there is. 1 for the backbone itself; None where
        :meth:`why_unpaired` says why.
        """
        cost = self.cost_of(setting)
        return None if cost is None else cost.ratio

    def why_unpaired(self, setting: Setting) -> str:
        """Why ``setting`` has no :meth:`time_ratio`; "" where it has one."""
        cost = self.cost_of(setting)
        return "no cost of it was asked for" if cost is None else cost.why_unpaired

    def record_of(self, cost: CostRow) -> Path:
        """The file of the record that every value of ``cost`` comes from."""
        return paths.profiled(self.plan.name, cost.cell)

    def baseline(self) -> str:
        """What unchanged backbones ran in where costs were measured, as tables name it."""
        rungs = dict.fromkeys(cost.rung for cost in self.measured() if cost.rung is not None)
        return " or ".join(SETUPS[rung].label for rung in rungs) or "the run's precision"

    def cost_of_method(self, method: str) -> CostRow | None:
        """The first measured cost of ``method`` at this frame count, whatever its options."""
        return next((cost for cost in self.measured() if cost.method == method), None)

    def facts_of(self, setting: Setting) -> pd.DataFrame:
        """What ``setting`` recorded: one row per scene."""
        place = self._fact_places.get(setting.place)
        return self.facts.iloc[[] if place is None else place]

    @cached_property
    def _fact_places(self) -> dict[Place, list[int]]:
        """By setting the rows of the facts that are its own."""
        found: dict[Place, list[int]] = {}
        named = self.facts[list(Place._fields)].itertuples(index=False, name=None)
        for row, place in enumerate(named):
            found.setdefault(Place(*place), []).append(row)
        return found

    def mean_fact(self, setting: Setting, name: str) -> float:
        """Mean over scenes of a fact that is a number; NaN where it was not recorded."""
        values = pd.to_numeric(self.facts_of(setting)[name])
        return float(values.mean()) if len(values) else math.nan

    def flops_on_scenes(self, setting: Setting, scenes: pd.Index | None = None) -> float:
        """Mean FLOPs that ``setting`` spent on the predicted ``scenes``, counted on each.

        All of its scenes without ``scenes``. NaN when not counted. What depends on content costs
        something else on the profile's input: :meth:`flops_at_profile`.
        """
        own = self._flops.get(setting.place, [])
        wanted = None if scenes is None else set(scenes)
        counted = [flops for scene, flops in own if wanted is None or scene in wanted]
        return float(np.nanmean(counted)) if np.isfinite(counted).any() else math.nan

    @cached_property
    def _flops(self) -> dict[Place, list[tuple[Scene, float]]]:
        """By setting its scenes, and what was counted on each."""
        found: dict[Place, list[tuple[Scene, float]]] = {}
        counted = pd.to_numeric(self.facts["flops"]).to_numpy(float)
        scenes = self.facts[SCENE].itertuples(index=False, name=None)
        places = self.facts[list(Place._fields)].itertuples(index=False, name=None)
        for place, scene, flops in zip(places, scenes, counted, strict=True):
            found.setdefault(Place(*place), []).append((Scene(*scene), float(flops)))
        return found

    def flops_at_profile(self, setting: Setting) -> float:
        """FLOPs of ``setting`` on the input that its time was measured on; NaN when not counted."""
        cost = self.profile_of(setting)
        return math.nan if cost is None else cost.flops

    def with_depths(self) -> pd.DataFrame:
        """Facts of scenes that have a histogram of recursion depths."""
        return self.facts[self.facts["depth_histogram"].notna()]

    def layers_of(self, method: str) -> pd.DataFrame:
        """What trainings of ``method`` recorded per layer: one row per training and layer."""
        listed = []
        rows = self.trainings[
            self.trainings["method"].eq(method) & self.trainings["layers"].notna()
        ]
        for _, row in rows.iterrows():
            for order, (layer, value) in enumerate(row["layers"].items()):
                one = {"backbone": row["backbone"], "options": row["options"]}
                listed.append({**one, "layer": layer, "order": order, "value": value})
        return pd.DataFrame(listed, columns=["backbone", "options", "layer", "order", "value"])


@dataclass
class RunEvidence:
    """All records of a run."""

    plan: Plan
    table: pd.DataFrame
    by_frames: list[Evidence]
    largest: list[CostRow]  # searches for the maximum frame count
    collected: Path  # the collected table; what belongs to it lies beside it

    @property
    def first(self) -> Evidence:
        """The first frame count: figures and the ledger are about it."""
        return self.by_frames[0]
