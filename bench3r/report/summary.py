"""From the tidy table to numbers: common scenes, means, intervals. Nothing is filled in."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from bench3r.metrics.statistics import Interval, effect_size, mean_interval, paired_interval
from bench3r.models.catalogue import reference_of
from bench3r.protocols import PROTOCOLS
from bench3r.protocols.missing import NOT_APPLICABLE
from bench3r.report.columns import Column
from bench3r.report.evidence import SCENE, SETTING, CostRow, Setting

MISSING = ["label", "dataset", "status", "metric", "scenes", "reason"]
K = TypeVar("K", bound=Hashable)


def keys_of(table: pd.DataFrame) -> pd.Series:
    """The :class:`Setting` of every row of ``table``."""
    rows = table[SETTING].itertuples(index=False, name=None)
    return pd.Series(list(map(Setting._make, rows)), index=table.index, dtype=object)


def wide(table: pd.DataFrame, column: Column) -> pd.DataFrame:
    """Values of ``column``: one row per scene, one column per setting; NaN where there is none."""
    rows = table[table["protocol"].eq(column.protocol) & table["metric"].eq(column.metric)]
    keyed = rows.assign(setting=keys_of(rows)).set_index([*SCENE, "setting"])
    return keyed["value"].unstack("setting")


def over_seeds(values: pd.DataFrame) -> pd.DataFrame:
    """Rows of :func:`wide` with the seeds of a scene averaged.

    Seeds repeat a scene, they are no scenes of their own. A scene of which one seed is missing
    stays missing.
    """
    scenes = [name for name in values.index.names if name != "seed"]
    return values.groupby(level=scenes, sort=False).agg(lambda seeds: seeds.mean(skipna=False))


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


def finished(table: pd.DataFrame) -> pd.DataFrame:
    """Whether a setting (column) finished a scene (row): every record has the status ok."""
    good = table.assign(setting=keys_of(table), good=table["status"].eq("ok"))
    return good.groupby([*SCENE, "setting"], sort=False)["good"].all().unstack("setting").eq(True)


def common_scenes(table: pd.DataFrame) -> pd.Index:
    """Scenes that every setting finished.

    A setting that finished none does not take all scenes from the others.
    """
    state = finished(table)
    return state.index[state.loc[:, state.any()].all(axis=1)]


def counts(table: pd.DataFrame, setting: Setting) -> tuple[int, int]:
    """How many of the planned scenes of ``setting`` finished: n, N."""
    own = finished(table[keys_of(table) == setting])
    return int(own.to_numpy().sum()), len(own)


def interval(values: pd.Series, weights: pd.Series | None = None) -> Interval | None:
    """Mean over scenes, weighted if asked, with its bootstrap interval; None without any value."""
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
    effect: float  # standardised, nan when all differences are the same


def difference(
    values: pd.DataFrame, first: Setting, second: Setting, weights: pd.Series | None = None
) -> Difference | None:
    """``first`` minus ``second``; None when fewer than two scenes have both."""
    if first not in values.columns or second not in values.columns:
        return None
    both = values[[first, second]].dropna()
    if len(both) < 2:
        return None
    a = both.iloc[:, 0].to_numpy()
    b = both.iloc[:, 1].to_numpy()
    return Difference(paired_interval(a, b, _at(weights, both.index)), effect_size(a, b))


def against_reference(
    values: pd.DataFrame, setting: Setting, weights: pd.Series | None = None
) -> Difference | None:
    """``setting`` minus its unchanged backbone."""
    wanted = reference_of(setting.backbone)
    reference = next((s for s in values.columns if s.method == wanted), None)
    if reference is None or setting == reference:
        return None
    return difference(values, setting, reference, weights)


def tied_with(
    values: pd.DataFrame,
    best: Setting | None,
    settings: list[Setting],
    weights: pd.Series | None = None,
) -> set[Setting]:
    """The tie group of ``best``: itself, and those whose difference has a 95 % CI with zero."""
    if best is None:
        return set()
    tied = {best}
    for setting in settings:
        found = None if setting == best else difference(values, setting, best, weights)
        if found is not None and not found.interval.excludes_zero:
            tied.add(setting)
    return tied


def ranks(means: dict[K, float], better: str) -> list[K]:
    """The keys of finite ``means``, the best first; none where no way is better."""
    if not better:
        return []
    ordered = sorted((mean, key) for key, mean in means.items() if np.isfinite(mean))
    if better == "higher":
        ordered.reverse()
    return [key for _, key in ordered]


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
