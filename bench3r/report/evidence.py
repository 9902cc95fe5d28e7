"""What a report is made from: a run's collected records, and the questions that sections ask them.

An :class:`Evidence` holds the records of one frame count, because scenes of different length are
never averaged together; :class:`RunEvidence` holds all of a run. Tables always have their columns,
also where a run has no rows for them, so that a question about missing results has an empty answer
and not an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, model_validator

from bench3r.api.method import METHODS, Method
from bench3r.api.presentation import OptionTable
from bench3r.files import read_jsonl
from bench3r.measure.rungs import SETUPS, Rung
from bench3r.models.catalogue import reference_backbone
from bench3r.run.plan import Plan
from bench3r.run.records import Probe, RungRecord

OptionValue = bool | int | float | str | list[object] | None
Options = dict[str, OptionValue]
S = TypeVar("S")


class Setting(NamedTuple):
    """What has a row of a table: a method with its options on a backbone."""

    method: str
    label: str  # as printed
    kind: str  # "backbone", "plugin", "model" or "control"
    options: str  # JSON
    backbone: str

    @property
    def values(self) -> Options:
        """Its options by name."""
        return dict(json.loads(self.options))

    @property
    def is_control(self) -> bool:
        """Whether it bounds what a score can be, and is not ranked."""
        return self.kind == "control"


class Scene(NamedTuple):
    """What must be the same for scores to be paired."""

    dataset: str
    frames: int
    seed: int
    scene: str


SETTING = list(Setting._fields)
SCENE = list(Scene._fields)
FACTS = ["cell", *SETTING, *SCENE, "scene_type", "flops"]  # and what methods declare
TRAININGS = ["training", "method", "options", "seed", "steps", "scenes", "seconds", "backbone"]
TRAININGS += ["layers", "shipped", "device"]


class CostRow(BaseModel):
    """The cost of a setting at a frame count; what was not measured is NaN or empty."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    method: str
    label: str = ""
    backbone: str = ""
    scale: str = ""
    options: str = "{}"
    frames: int = 0
    status: str = "error"
    reason: str = ""
    device: str = ""
    time: str = ""
    suspect: list[str] = []
    image_size: tuple[int, int] | None = None
    flops: float = math.nan
    parameters: float = math.nan
    weight_bytes: float = math.nan
    peak_rss_bytes: float = math.nan
    peak_gpu_bytes: float = math.nan
    energy_j: float = math.nan
    flops_by_part: dict[str, float] = {}
    parameters_by_part: dict[str, int] = {}
    seconds: list[float] = []
    reference_seconds: list[float] = []  # of the unchanged backbone, in turn with ``seconds``
    reference_shared: bool = False  # they come from the backbone's own measurement instead
    rung: Rung | None = None  # of the ladder, that the unchanged backbone stood on
    ladder: list[RungRecord] = []  # of an unchanged backbone on others
    attention: dict[str, int] = {}  # calls by attention backend
    phase_seconds: dict[str, list[float]] = {}
    phase_peak_bytes: dict[str, float] = {}
    ceiling: dict[str, float] = {}  # best rates measured in the same process
    largest: int | None = None  # maximum frame count, of a search
    probes: list[Probe] = []  # what the search tried

    @model_validator(mode="before")
    @classmethod
    def _without_unknowns(cls, row: object) -> object:
        """What is null in a record stays at the default that says so."""
        if not isinstance(row, Mapping):
            return row
        return {str(k): v for k, v in row.items() if not _is_missing(v)}

    @property
    def setting(self) -> Setting:
        """What was measured; the kind of its method is not recorded with costs."""
        return Setting(self.method, self.label, "", self.options, self.backbone)

    @property
    def ok(self) -> bool:
        """Whether it was measured."""
        return self.status == "ok"

    @property
    def median_seconds(self) -> float:
        """Median time of a call; NaN when none was timed."""
        return float(np.median(self.seconds)) if self.seconds else math.nan

    @property
    def peak_bytes(self) -> float:
        """Peak memory: of tensors on the GPU, of the process on a CPU; NaN when not measured."""
        for value in (self.peak_gpu_bytes, self.peak_rss_bytes):
            if math.isfinite(value) and value > 0:
                return value
        return math.nan

    @property
    def time_saving(self) -> float:
        """1 - time / time of the unchanged backbone; NaN when not measured."""
        if not self.seconds or not self.reference_seconds:
            return math.nan
        return 1 - self.median_seconds / float(np.median(self.reference_seconds))


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def settings_of(rows: pd.DataFrame) -> list[Setting]:
    """The distinct settings of ``rows``, in planned order: the rows that a table has."""
    return [Setting(*row) for row in rows[SETTING].drop_duplicates().itertuples(index=False)]


def rows_of_setting(rows: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """The rows of one setting: same method, backbone and options."""
    same = rows["method"].eq(setting.method) & rows["backbone"].eq(setting.backbone)
    return rows[same & rows["options"].eq(setting.options)]


def varied_options(settings: Iterable[Setting]) -> list[str]:
    """Names of the options in which ``settings`` differ."""
    values: dict[str, set[str]] = {}
    for setting in settings:
        for name, value in setting.values.items():
            values.setdefault(name, set()).add(json.dumps(value))
    return [name for name, found in values.items() if len(found) > 1]


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


def _with_columns(table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """``table`` with all ``columns``, empty where it lacks them."""
    missing = [c for c in columns if c not in table]
    return table.reindex(columns=[*table.columns, *missing]) if missing else table


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
    about: str = ""  # what the numbers stand on

    def __post_init__(self) -> None:
        declared = [fact.name for method in methods().values() for fact in method.facts]
        self.facts = _with_columns(self.facts, dict.fromkeys([*FACTS, *declared]))
        self.trainings = _with_columns(self.trainings, TRAININGS)

    @property
    def profiles(self) -> pd.DataFrame:
        """The costs as a table."""
        rows = [cost.model_dump() for cost in self.costs]
        return pd.DataFrame(rows, columns=list(CostRow.model_fields))

    @property
    def ablations(self) -> list[str]:
        """Names of the comparisons that the run asks for beside the main one."""
        return list(self.plan.config.ablations)

    def rows_of(self, name: str) -> pd.DataFrame:
        """Scores of the cells in the comparison ``name``.

        Ablations also get the unchanged backbones on the same scenes.
        """
        inside = {c.id for c in self.plan.cells if name in c.tables}
        chosen = self.table[self.table["cell"].isin(inside)]
        if name == "main":
            return chosen
        scenes = set(chosen.set_index(SCENE).index)
        unchanged = {*chosen["backbone"], reference_backbone()}
        dense = self.table["method"].isin(unchanged) & self.table["kind"].eq("backbone")
        same_scenes = self.table.set_index(SCENE).index.isin(scenes)
        return pd.concat([self.table[dense & same_scenes], chosen]).drop_duplicates()

    def everywhere(self) -> pd.DataFrame:
        """Scores of the main methods, and of ablations that are declared to join them."""
        joined = [name for name, table in self.option_tables().items() if table.joins_main]
        parts = [self.rows_of(name) for name in ("main", *joined)]
        return pd.concat(parts).drop_duplicates()

    def ranked(self, rows: pd.DataFrame) -> pd.DataFrame:
        """``rows`` without those of controls."""
        return rows[~rows["kind"].eq("control")]

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
        for cost in self.costs:
            same = cost.method == setting.method and cost.backbone == setting.backbone
            if same and cost.options == setting.options and cost.frames == self.frames:
                return cost
        return None

    def profile_of(self, setting: Setting) -> CostRow | None:
        """What ``setting`` costs at this frame count; None when that was not measured."""
        found = self.cost_of(setting)
        return found if found is not None and found.ok else None

    def baseline(self) -> str:
        """What unchanged backbones ran in where costs were measured, as tables name it."""
        rungs = dict.fromkeys(cost.rung for cost in self.measured() if cost.rung is not None)
        return " or ".join(SETUPS[rung].label for rung in rungs) or "the run's precision"

    def cost_of_method(self, method: str) -> CostRow | None:
        """The first measured cost of ``method`` at this frame count, whatever its options."""
        return next((cost for cost in self.measured() if cost.method == method), None)

    def facts_of(self, setting: Setting) -> pd.DataFrame:
        """What ``setting`` recorded: one row per scene."""
        return rows_of_setting(self.facts, setting)

    def mean_fact(self, setting: Setting, name: str) -> float:
        """Mean over scenes of a fact that is a number; NaN where it was not recorded."""
        values = pd.to_numeric(self.facts_of(setting)[name])
        return float(values.mean()) if len(values) else math.nan

    def flops_of(self, setting: Setting, scenes: pd.Index) -> float:
        """Mean FLOPs of ``setting`` on ``scenes``, counted on each; NaN when not counted."""
        rows = self.facts_of(setting)
        rows = rows[rows.set_index(SCENE).index.isin(scenes)]
        return float(pd.to_numeric(rows["flops"]).mean()) if len(rows) else math.nan

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


def caption(plan: Plan, table: pd.DataFrame) -> str:
    """What the numbers stand on: scale, weights, data, device, protocols, date."""
    config = plan.config
    data = []
    for name, rows in table.groupby("dataset", sort=False):
        procedural = rows["procedural"].eq(True).any()
        kind = "PROCEDURAL scenes in its layout, not the real data" if procedural else "real data"
        data.append(f"{name} ({kind}, {rows['scene'].nunique()} scenes)")
    counts = ", ".join(str(n) if n else "listed" for n in table["frames"].unique())
    devices = ", ".join(sorted(table["device"].dropna().unique())) or "unknown device"
    return (
        f"Measured by Bench3R. Scale `{config.scale}`, base weights `{config.base}`, "
        f"{config.precision}. Data: {'; '.join(data)}; {counts} frames a scene. "
        f"Device: {devices}. Protocols: {', '.join(config.protocols)}. "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )


def gather(plan: Plan, collected: Path) -> RunEvidence:
    """Read what the collect stage wrote: the table ``collected`` and the files beside it."""
    table = pd.read_parquet(collected)
    facts = _with_columns(_beside(collected, "facts"), FACTS)
    trainings = _beside(collected, "trainings")
    costs = _costs(collected, "profiles")
    several = table["frames"].nunique() > 1
    found = []
    for count, rows in table.groupby("frames", sort=False):
        frames = int(str(count))
        found.append(
            Evidence(
                plan=plan,
                table=rows,
                costs=costs,
                facts=facts[facts["frames"].eq(frames)],
                trainings=trainings,
                frames=frames,
                suffix=f"_f{frames}" if several else "",
                about=caption(plan, rows),
            )
        )
    return RunEvidence(plan, table, found, _costs(collected, "largest"), collected)


def _beside(collected: Path, name: str) -> pd.DataFrame:
    return pd.DataFrame(read_jsonl(collected.with_name(f"{name}.jsonl")))


def _costs(collected: Path, name: str) -> list[CostRow]:
    rows = read_jsonl(collected.with_name(f"{name}.jsonl"))
    return [CostRow.model_validate(row) for row in rows]
