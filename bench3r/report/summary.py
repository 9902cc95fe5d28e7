"""From the tidy table to numbers in tables: common scenes, means, intervals. Nothing is filled in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench3r.metrics.statistics import Interval, bootstrap_mean, effect_size, paired_bootstrap
from bench3r.models.catalogue import NETWORKS, NO_BACKBONE, backbones
from bench3r.protocols import load_protocol
from bench3r.protocols.base import NOT_APPLICABLE

SETTING = ["method", "label", "kind", "options", "backbone"]  # what makes a row of a table
SCENE = ["dataset", "frames", "seed", "scene"]  # what must be the same for scores to be paired
REFERENCE = (
    "vggt"  # what whole models and controls are compared with; the others with their backbone
)


def reference_of(backbone: str) -> str:
    """The method that settings on ``backbone`` are compared with: the unchanged backbone."""
    return (
        REFERENCE
        if backbone in (NO_BACKBONE, *(set(NETWORKS.all()) - set(backbones())))
        else backbone
    )


@dataclass(frozen=True)
class Column:
    """A column of a table: which metric of which protocol, how it is named, its unit and which way is better."""

    title: str
    protocol: str
    metric: str
    unit: str
    better: str  # "lower", "higher", or "" where neither is
    digits: int = 3


def keys_of(table: pd.DataFrame) -> pd.Series:
    """The setting of every row of ``table`` as one tuple."""
    return pd.Series(
        list(table[SETTING].itertuples(index=False, name=None)), index=table.index, dtype=object
    )


def settings(table: pd.DataFrame) -> pd.DataFrame:
    """The distinct settings, in planned order: the rows that a table has."""
    return table[SETTING].drop_duplicates().reset_index(drop=True)


def wide(table: pd.DataFrame, column: Column) -> pd.DataFrame:
    """Values of ``column``: one row per scene, one column per setting; NaN where there is none."""
    rows = table[(table["protocol"] == column.protocol) & (table["metric"] == column.metric)]
    return (
        rows.assign(setting=keys_of(rows))
        .set_index([*SCENE, "setting"])["value"]
        .unstack("setting")
    )


def over_seeds(values: pd.DataFrame) -> pd.DataFrame:
    """Rows of :func:`wide` with the seeds of a scene averaged: seeds repeat a scene, they are no scenes of their own.

    A scene of which one seed is missing stays missing.
    """
    scenes = [n for n in values.index.names if n != "seed"]
    return values.groupby(level=scenes, sort=False).agg(lambda seeds: seeds.mean(skipna=False))


def weights_of(table: pd.DataFrame, column: Column) -> pd.Series | None:
    """Weight of every scene in means of ``column``, where its protocol names the metric that is one (``WEIGHT``)."""
    metric = getattr(load_protocol(column.protocol), "WEIGHT", None)
    if metric is None:
        return None
    weight = Column(metric, column.protocol, metric, "", "")
    return over_seeds(wide(table, weight)).max(axis=1)  # the truth's, so the same for every setting


def finished(table: pd.DataFrame) -> pd.DataFrame:
    """Whether a setting (column) finished a scene (row): every record has the status ok."""
    good = table.assign(setting=keys_of(table), good=table["status"].eq("ok"))
    return good.groupby([*SCENE, "setting"], sort=False)["good"].all().unstack("setting").eq(True)


def common_scenes(table: pd.DataFrame) -> pd.Index:
    """Scenes that every setting finished; a setting that finished none does not take all scenes from the others."""
    state = finished(table)
    return state.index[state.loc[:, state.any()].all(axis=1)]


def counts(table: pd.DataFrame, setting: tuple[str, ...]) -> tuple[int, int]:
    """How many of the planned scenes of ``setting`` finished: n, N."""
    own = finished(table[keys_of(table) == setting])
    return int(own.to_numpy().sum()), len(own)


def interval(values: pd.Series, weights: pd.Series | None = None) -> Interval | None:
    """Mean over scenes, weighted if asked, with its bootstrap interval; None without any value."""
    values = values.dropna()
    return bootstrap_mean(values.to_numpy(), _at(weights, values.index)) if len(values) else None


def _at(weights: pd.Series | None, scenes: pd.Index) -> np.ndarray | None:
    return None if weights is None else weights.reindex(scenes).to_numpy()


@dataclass(frozen=True)
class Difference:
    """Paired difference of two settings over the scenes that both have."""

    interval: Interval
    effect: float  # standardised, nan when all differences are the same


def difference(
    values: pd.DataFrame,
    first: tuple[str, ...],
    second: tuple[str, ...],
    weights: pd.Series | None = None,
) -> Difference | None:
    """``first`` minus ``second``; None when fewer than two scenes have both."""
    if first not in values.columns or second not in values.columns:
        return None
    both = values[[first, second]].dropna()
    if len(both) < 2:
        return None
    a, b = both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy()
    return Difference(paired_bootstrap(a, b, _at(weights, both.index)), effect_size(a, b))


def against_reference(
    values: pd.DataFrame, setting: tuple[str, ...], weights: pd.Series | None = None
) -> Difference | None:
    """``setting`` minus its unchanged backbone."""
    reference = [c for c in values.columns if c[0] == reference_of(setting[-1])]
    if not reference or setting == reference[0]:
        return None
    return difference(values, setting, reference[0], weights)


def tied_with(
    values: pd.DataFrame,
    best: tuple[str, ...] | None,
    keys: list[tuple[str, ...]],
    weights: pd.Series | None = None,
) -> set[tuple[str, ...]]:
    """The tie group of ``best``: itself and all of ``keys`` whose paired difference to it is not clear of zero."""
    if best is None:
        return set()
    found = {k: difference(values, k, best, weights) for k in keys if k != best}
    return {best} | {k for k, d in found.items() if d is not None and not d.interval.excludes_zero}


def ranks(
    means: dict[tuple[str, ...], float], better: str
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """The best and the second best setting (controls are not passed in); none where no way is better."""
    if not better:
        return None, None
    ordered = sorted((m, k) for k, m in means.items() if np.isfinite(m))
    if better == "higher":
        ordered.reverse()
    keys = [k for _, k in ordered] + [None, None]
    return keys[0], keys[1]


def holes(table: pd.DataFrame) -> pd.DataFrame:
    """Scenes without a result and the reason, and metrics that could not be computed."""
    failed = table[table["status"] != "ok"].drop_duplicates(["cell", "scene", "status", "reason"])
    failed = failed.assign(metric="all")
    missing = table[
        (table["status"] == "ok")
        & table["value"].isna()
        & ~table["reason"].str.startswith(NOT_APPLICABLE)
    ]
    grouped = missing.groupby(["label", "dataset", "protocol", "metric", "reason"], as_index=False)[
        "scene"
    ].nunique()
    shown = pd.concat(
        [
            failed.groupby(["label", "dataset", "metric", "status", "reason"], as_index=False)[
                "scene"
            ].nunique(),
            grouped.assign(
                status="metric missing", metric=grouped["protocol"].str.cat(grouped["metric"], "/")
            ),
        ]
    )
    return shown[["label", "dataset", "status", "metric", "scene", "reason"]].rename(
        columns={"scene": "scenes"}
    )


def cost_holes(profiles: pd.DataFrame) -> pd.DataFrame:
    """Costs that were planned and have no measurement, in the columns of :func:`holes`."""
    if not len(profiles):
        return pd.DataFrame(columns=["label", "dataset", "status", "metric", "scenes", "reason"])
    lost = profiles[profiles["status"] != "ok"]
    return pd.DataFrame(
        {
            "label": lost["label"],
            "dataset": "–",
            "status": lost["status"],
            "metric": [f"cost of {n} frames" if n else "cost" for n in lost["frames"]],
            "scenes": "–",
            "reason": lost["reason"],
        }
    ).drop_duplicates()
