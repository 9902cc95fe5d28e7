"""From the tidy table to numbers: common scenes, means, intervals. Nothing is filled in."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from bench3r.metrics.statistics import (
    ALPHA,
    Interval,
    discoveries,
    effect_size,
    mean_interval,
    paired_interval,
)
from bench3r.models.catalogue import reference_of
from bench3r.protocols import PROTOCOLS
from bench3r.protocols.base import Metric
from bench3r.protocols.missing import NOT_APPLICABLE
from bench3r.report.columns import Column
from bench3r.report.evidence import SCENE, SETTING, CostRow, Setting
from bench3r.report.memo import once_per_table

MISSING = ["label", "dataset", "status", "metric", "scenes", "reason"]
K = TypeVar("K", bound=Hashable)
Pair = tuple[Setting, Setting]


class Coded(NamedTuple):
    """Rows of a table as places in a sorted list of what they are of."""

    codes: np.ndarray  # [N], of every row
    found: list[Any]  # distinct, ascending


def _coded(table: pd.DataFrame, names: list[str]) -> Coded:
    """What the columns ``names`` say of every row of ``table``, as tuples."""
    rows = list(zip(*(table[name].tolist() for name in names), strict=True))
    found = sorted(set(rows))
    places = {row: place for place, row in enumerate(found)}
    return Coded(np.array([places[row] for row in rows], dtype=int), found)


@once_per_table
def _settings(table: pd.DataFrame) -> Coded:
    """The setting of every row."""
    codes, found = _coded(table, SETTING)
    return Coded(codes, list(map(Setting._make, found)))


@once_per_table
def _scenes(table: pd.DataFrame) -> Coded:
    """The scene of every row."""
    return _coded(table, SCENE)


def keys_of(table: pd.DataFrame) -> pd.Series:
    """The :class:`Setting` of every row of ``table``."""
    codes, found = _settings(table)
    keys = np.empty(len(table), dtype=object)
    keys[:] = [found[code] for code in codes]
    return pd.Series(keys, index=table.index, dtype=object)


@once_per_table
def _metric_places(table: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """By protocol and metric the rows [N] of ``table``."""
    return dict(table.groupby(["protocol", "metric"], sort=False).indices)


def _by_scene(table: pd.DataFrame, places: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """``values`` [N] of the rows ``places`` [N]: scenes by settings, NaN where there is none.

    Raises ValueError for two values of one scene and setting.
    """
    scenes = _scenes(table)
    settings = _settings(table)
    own_scenes, row = np.unique(scenes.codes[places], return_inverse=True)
    own_settings, column = np.unique(settings.codes[places], return_inverse=True)
    if len(np.unique(row * len(own_settings) + column)) < len(places):
        raise ValueError("two values of one scene and setting")
    grid = np.full((len(own_scenes), len(own_settings)), np.nan)
    grid[row, column] = values
    index = pd.MultiIndex.from_frame(pd.DataFrame(scenes.found, columns=SCENE).iloc[own_scenes])
    named = [settings.found[code] for code in own_settings]
    columns = pd.Index(named, dtype=object, name="setting", tupleize_cols=False)
    return pd.DataFrame(grid, index=index, columns=columns)


@once_per_table
def wide(table: pd.DataFrame, column: Column) -> pd.DataFrame:
    """Values of ``column``: one row per scene, one column per setting; NaN where there is none.

    Raises ValueError for two values of one scene and setting.
    """
    places = _metric_places(table).get((column.protocol, column.metric))
    places = np.array([], dtype=int) if places is None else places
    return _by_scene(table, places, table["value"].to_numpy(float)[places])


def over_seeds(values: pd.DataFrame) -> pd.DataFrame:
    """Rows of :func:`wide` with the seeds of a scene averaged.

    Seeds repeat a scene, they are no scenes of their own. A scene of which one seed is missing
    stays missing.
    """
    scenes = [name for name in values.index.names if name != "seed"]
    alone = values.droplevel("seed")
    if alone.index.is_unique:
        return alone
    by_scene = values.groupby(level=scenes, sort=False)
    return by_scene.mean().where(by_scene.count().eq(by_scene.size(), axis=0))


def of_scenes(table: pd.DataFrame, column: Column, scenes: pd.Index) -> pd.DataFrame:
    """Values of ``column`` on ``scenes`` alone, seeds averaged: scenes by settings."""
    values = wide(table, column)
    return over_seeds(values[values.index.isin(scenes)])


def weights_of(table: pd.DataFrame, column: Column) -> pd.Series | None:
    """Weight of every scene in means of ``column``, where its protocol names a metric for that."""
    metric = PROTOCOLS.get(column.protocol).weight
    if metric is None:
        return None
    weight = Column(metric, column.protocol, metric, "", "")
    return over_seeds(wide(table, weight)).max(axis=1)  # of the ground truth: the same for all


@once_per_table
def finished(table: pd.DataFrame) -> pd.DataFrame:
    """Whether a setting (column) finished a scene (row): every record has the status ok.

    1 for finished, 0 for not, NaN where it was not planned.
    """
    pairs = _scenes(table).codes * len(_settings(table).found) + _settings(table).codes
    _, first, pair = np.unique(pairs, return_index=True, return_inverse=True)
    bad = np.bincount(pair, weights=table["status"].ne("ok").to_numpy(), minlength=len(first))
    return _by_scene(table, first, (bad == 0).astype(float))


@once_per_table
def common_scenes(table: pd.DataFrame) -> pd.Index:
    """Scenes that every setting finished.

    A setting that finished none does not take all scenes from the others.
    """
    state = finished(table).eq(1)
    return state.index[state.loc[:, state.any()].all(axis=1)]


def counts(table: pd.DataFrame, setting: Setting) -> tuple[int, int]:
    """How many of the planned scenes of ``setting`` finished: n, N."""
    own = finished(table)[setting].dropna()
    return int(own.sum()), len(own)


def interval(values: pd.Series, weights: pd.Series | None = None) -> Interval | None:
    """Mean over scenes, weighted if asked, with its interval; None without any value."""
    values = values.dropna()
    if values.empty:
        return None
    return mean_interval(values.to_numpy(), _at(weights, values.index))


def _at(weights: pd.Series | None, scenes: pd.Index) -> np.ndarray | None:
    return None if weights is None else weights.reindex(scenes).to_numpy()


@dataclass(frozen=True)
class Difference:
    """Paired difference of two settings over the scenes that both have."""

    interval: Interval
    effect: float  # standardised; nan where it means nothing
    tie: bool = False  # no larger than what rounding may change
    p: float = float("nan")  # corrected for the family that it was tested in; nan: too few scenes

    @property
    def told_apart(self) -> bool:
        """Whether it is a difference: more than rounding, zero excluded, corrected."""
        return self.interval.excludes_zero and not self.tie and self.p <= ALPHA

    @property
    def alike(self) -> bool:
        """Whether there are scenes enough, and they do not tell the two apart."""
        return self.interval.decides and not self.told_apart


def difference(
    values: pd.DataFrame,
    first: Setting,
    second: Setting,
    weights: pd.Series | None = None,
    metric: Metric | None = None,
) -> Difference | None:
    """``first`` minus ``second``, a family of its own; None when fewer than two scenes have both.

    ``metric`` says below which difference they are tied.
    """
    return differences(values, [(first, second)], weights, metric).get((first, second))


def differences(
    values: pd.DataFrame,
    pairs: Iterable[Pair],
    weights: pd.Series | None = None,
    metric: Metric | None = None,
) -> dict[Pair, Difference]:
    """The first minus the second of all ``pairs``, as one family of comparisons.

    Left out are those that fewer than two scenes of ``values`` (scenes by settings) have both of.
    """
    grid = values.to_numpy(float)
    place = {setting: i for i, setting in enumerate(values.columns)}
    weight = _at(weights, values.index)
    found: dict[Pair, Difference] = {}
    for first, second in dict.fromkeys(pairs):
        if first == second or first not in place or second not in place:
            continue
        a = grid[:, place[first]]
        b = grid[:, place[second]]
        both = ~np.isnan(a) & ~np.isnan(b)
        if both.sum() > 1:
            own = None if weight is None else weight[both]
            found[first, second] = _difference(a[both], b[both], own, metric)
    adjusted = discoveries([one.interval for one in found.values()])
    corrected = zip(found.items(), adjusted, strict=True)
    return {pair: replace(one, p=p) for (pair, one), p in corrected}


def _difference(
    a: np.ndarray, b: np.ndarray, weights: np.ndarray | None, metric: Metric | None
) -> Difference:
    """``a`` minus ``b`` [N], not corrected yet."""
    found = paired_interval(a, b, weights)
    mean = float(np.average(b, weights=weights))
    tie = metric is not None and metric.tied(mean + found.mean, mean)
    return Difference(found, float("nan") if tie else effect_size(a, b), tie)


def backbone_of(values: pd.DataFrame, setting: Setting) -> Setting | None:
    """The unchanged backbone of ``setting`` among the columns of ``values``; None for itself."""
    wanted = reference_of(setting.backbone)
    found = next((s for s in values.columns if s.method == wanted), None)
    return None if found == setting else found


def ranks(means: dict[K, float], better: str) -> list[K]:
    """The keys of finite ``means``, the best first; none where no way is better."""
    if not better:
        return []
    ordered = sorted((mean, key) for key, mean in means.items() if np.isfinite(mean))
    if better == "higher":
        ordered.reverse()
    return [key for _, key in ordered]


def places(means: dict[K, float], metric: Metric) -> dict[K, int]:
    """The place of every key of ``means``, 0 for the best; those that rounding separates share it.

    Empty where no way is better.
    """
    found: dict[K, int] = {}
    place = -1
    leader = float("nan")
    for key in ranks(means, metric.better):
        if not metric.tied(means[key], leader):
            place += 1
            leader = means[key]
        found[key] = place
    return found


def missing_results(table: pd.DataFrame) -> pd.DataFrame:
    """Scenes without a result and the reason, and metrics that could not be computed."""
    ok = table["status"].eq("ok")
    failed = table[~ok].drop_duplicates(["cell", "scene", "status", "reason"])
    failed = failed.assign(metric="all")
    applies = ~table["reason"].str.startswith(NOT_APPLICABLE)
    lacking = table[ok & table["value"].isna() & applies]
    lacking = lacking.assign(
        status="metric missing", metric=lacking["protocol"].str.cat(lacking["metric"], "/")
    )
    by = ["label", "dataset", "metric", "status", "reason"]
    parts = [rows.groupby(by, as_index=False)["scene"].nunique() for rows in (failed, lacking)]
    return pd.concat(parts).rename(columns={"scene": "scenes"})[MISSING]


def missing_costs(costs: list[CostRow]) -> pd.DataFrame:
    """Costs that were planned and not measured, in the columns of :func:`missing_results`."""
    rows = []
    for cost in costs:
        if cost.ok:
            continue
        what = f"cost of {cost.frames} frames" if cost.frames else "cost"
        rows.append((cost.label, "–", cost.status, what, "–", cost.reason))
    return pd.DataFrame(rows, columns=MISSING).drop_duplicates()
