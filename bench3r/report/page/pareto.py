"""What the interactive plot shows: quality against cost, on the scenes that all settings finished.

A marker is one setting's mean over the scenes of the chosen datasets, with the interval that tables
give it; its time is the paired ratio to the unchanged backbone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple, TypedDict

import pandas as pd

from bench3r.report.answer_facts import POSE
from bench3r.report.columns import QUALITY
from bench3r.report.evidence import CostRow, Evidence, Setting, methods
from bench3r.report.figures.looks import RAMPS, family_of
from bench3r.report.names import name_of
from bench3r.report.settings import settings_of
from bench3r.report.summary import common_scenes, interval, over_seeds, weights_of, wide

MOST_COMBINED = 4  # datasets up to which all their combinations can be chosen
DIGITS = 6

Spot = list[float | None]  # value, low, high; None where it has no interval


class Choice(TypedDict):
    """Datasets whose scenes are averaged together."""

    label: str
    scenes: int


class QualityAxis(TypedDict):
    """A metric: by choice and setting its spot, and by choice and control the mean."""

    title: str
    better: str
    spots: list[list[Spot | None]]
    controls: list[list[float | None]]


class CostAxis(TypedDict):
    """A cost: by choice and setting its spot, and by setting why there is none."""

    title: str
    about: str
    one: bool  # whether 1 is the unchanged backbone
    spots: list[list[Spot | None]]
    why: list[str]
    doubts: list[str]  # by setting why its cost is suspect; "" where it is not


class Look(TypedDict):
    """How a setting's marker looks: colour by family, shape by method."""

    family: int
    shape: int
    variant: int  # among the settings of the method on its backbone: how pale it is
    hollow: bool  # on another backbone than the first


class Pareto(TypedDict):
    """The plot of one frame count."""

    frames: int
    settings: list[str]
    families: list[str]
    looks: list[Look]
    line: list[int]  # settings of the plainly shallower model, joined by a line
    controls: list[str]
    choices: list[Choice]
    qualities: list[QualityAxis]
    costs: list[CostAxis]


class Cost(NamedTuple):
    """How a cost is read from what the profile stage measured."""

    title: str
    about: str
    of: Callable[[CostRow], float]


MEASURED = (
    Cost(
        "memory above the baseline (MB)",
        "Peak memory less what the process held before the first call (libraries, weights, "
        "images): what a forward pass itself needs.",
        lambda row: row.above_baseline_bytes / 1e6,
    ),
    Cost(
        "peak memory (MB)",
        "Peak memory of the process on a CPU, most of it libraries; of tensors on a GPU.",
        lambda row: row.peak_bytes / 1e6,
    ),
    Cost("energy (J)", "Energy of one forward pass.", lambda row: row.energy_j),
)
TIME = "time / unchanged backbone"
TIME_ABOUT = (
    "Median of the ratios of calls taken in turn with the unchanged backbone in one process, with "
    "its 95 % interval; below 1 is faster."
)
FLOPS = "FLOPs of a scene (G)"
FLOPS_ABOUT = "Counted on each of the scenes, 2 x multiply-adds."


def pareto_of(e: Evidence) -> Pareto | None:
    """The plot of one frame count; None where no setting has quality and cost."""
    rows = e.ranked(e.everywhere())
    settings = settings_of(rows)
    common = common_scenes(rows)
    chosen = choices_of(common)
    costs = [axis for axis in _costs(e, settings, chosen) if _has_spots(axis["spots"])]
    qualities = [q for q in _qualities(e, settings, chosen) if _has_spots(q["spots"])]
    if not costs or not qualities:
        return None
    line = [i for i, s in enumerate(settings) if methods()[s.method].depth_control]
    return {
        "frames": e.frames,
        "settings": [name_of(s, rows) for s in settings],
        "families": list(RAMPS),
        "looks": looks_of(settings),
        "line": line,
        "controls": [s.label for s in _controls(e)],
        "choices": [{"label": label, "scenes": len(own)} for label, own in chosen.items()],
        "qualities": qualities,
        "costs": costs,
    }


def looks_of(settings: Sequence[Setting]) -> list[Look]:
    """By setting how its marker looks; families as in figures."""
    families = list(RAMPS)
    shapes: dict[str, list[str]] = {}
    variants: Counter[tuple[str, str]] = Counter()
    looks: list[Look] = []
    for setting in settings:
        family = family_of(setting.method)
        own = shapes.setdefault(family, [])
        if setting.label not in own:
            own.append(setting.label)
        elsewhere = setting.kind == "plugin" and setting.backbone != settings[0].backbone
        look: Look = {
            "family": families.index(family),
            "shape": own.index(setting.label),
            "variant": variants[setting.label, setting.backbone],
            "hollow": elsewhere,
        }
        variants[setting.label, setting.backbone] += 1
        looks.append(look)
    return looks


def choices_of(scenes: pd.Index) -> dict[str, pd.Index]:
    """Scenes by what can be chosen: all datasets, each, and every combination of a few."""
    own = scenes.get_level_values("dataset")
    datasets = list(dict.fromkeys(own))
    several = range(2, len(datasets)) if len(datasets) <= MOST_COMBINED else ()
    found = {"all datasets": scenes} if len(datasets) != 1 else {}
    for size in (1, *several):
        for some in combinations(datasets, size):
            found[" + ".join(some)] = scenes[own.isin(some)]
    return found


def _has_spots(spots: list[list[Spot | None]]) -> bool:
    return any(spot is not None for by_setting in spots for spot in by_setting)


def _controls(e: Evidence) -> list[Setting]:
    return [s for s in settings_of(e.rows_of("main")) if s.is_control]


def _qualities(
    e: Evidence, settings: list[Setting], chosen: dict[str, pd.Index]
) -> list[QualityAxis]:
    rows = e.everywhere()
    controls = _controls(e)
    axes: list[QualityAxis] = []
    for column in dict.fromkeys((*QUALITY, POSE)):
        values = wide(rows, column)
        weights = weights_of(rows, column)
        spots = []
        bounds: list[list[float | None]] = []
        for scenes in chosen.values():
            of = _spots(values[values.index.isin(scenes)], weights)
            spots.append([of.get(s) for s in settings])
            means = [of.get(s) for s in controls]
            bounds.append([spot[0] if spot else None for spot in means])
        one: QualityAxis = {
            "title": column.title,
            "better": column.better,
            "spots": spots,
            "controls": bounds,
        }
        axes.append(one)
    return axes


def _spots(values: pd.DataFrame, weights: pd.Series | None) -> dict[Setting, Spot]:
    """By setting (column) its mean over scenes, with the interval that tables give it."""
    averaged = over_seeds(values)
    found: dict[Setting, Spot] = {}
    for setting in averaged.columns:
        mean = interval(averaged[setting], weights)
        if mean is not None:
            found[setting] = spot(mean.mean, mean.low, mean.high)
    return found


def _costs(e: Evidence, settings: list[Setting], chosen: dict[str, pd.Index]) -> list[CostAxis]:
    axes = [_time(e, settings, len(chosen)), _flops(e, settings, chosen)]
    for cost in MEASURED:
        found: list[Spot | None] = []
        for setting in settings:
            row = e.profile_of(setting)
            value = math.nan if row is None else cost.of(row)
            found.append(spot(value) if math.isfinite(value) else None)
        why = ["" if one else "not measured" for one in found]
        axes.append(_axis(cost.title, cost.about, [found] * len(chosen), why))
    return axes


def _time(e: Evidence, settings: list[Setting], choices: int) -> CostAxis:
    ratios = [e.time_ratio(setting) for setting in settings]
    found: list[Spot | None] = []
    for ratio in ratios:
        found.append(None if ratio is None else spot(ratio.value, ratio.low, ratio.high))
    why = [e.why_unpaired(setting) for setting in settings]
    doubts = ["" if ratio is None else ratio.suspect for ratio in ratios]
    axis = _axis(TIME, TIME_ABOUT, [found] * choices, why)
    return {**axis, "one": True, "doubts": doubts}


def _flops(e: Evidence, settings: list[Setting], chosen: dict[str, pd.Index]) -> CostAxis:
    spots = []
    for scenes in chosen.values():
        spent = [e.flops_on_scenes(setting, scenes) / 1e9 for setting in settings]
        spots.append([spot(value) if math.isfinite(value) else None for value in spent])
    why = ["" if one else "not counted" for one in spots[0]]
    return _axis(FLOPS, FLOPS_ABOUT, spots, why)


def _axis(title: str, about: str, spots: list[list[Spot | None]], why: Sequence[str]) -> CostAxis:
    return {
        "title": title,
        "about": about,
        "one": False,
        "spots": spots,
        "why": list(why),
        "doubts": [""] * len(why),
    }


def spot(value: float, low: float = math.nan, high: float = math.nan) -> Spot:
    """A value with its interval, as JSON knows it."""
    numbers = (value, low, high)
    return [float(f"{v:.{DIGITS}g}") if math.isfinite(v) else None for v in numbers]
