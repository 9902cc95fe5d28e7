"""From the tidy table to numbers in tables: common scenes, means, intervals. Nothing is filled in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench3r.metrics.statistics import Interval, bootstrap_mean, paired_bootstrap

SETTING = ["method", "label", "kind", "options", "backbone"]  # what makes a row of a table
SCENE = ["dataset", "frames", "seed", "scene"]  # what must be the same for scores to be paired
REFERENCE = "vggt"


@dataclass(frozen=True)
class Column:
    """A column of a table: which metric of which protocol, how it is named, its unit and which way is better."""

    title: str
    protocol: str
    metric: str
    unit: str
    better: str  # "lower" or "higher"
    digits: int = 3


def wide(table: pd.DataFrame, column: Column) -> pd.DataFrame:
    """Values of ``column``: one row per scene, one column per setting; NaN where there is none."""
    rows = table[(table["protocol"] == column.protocol) & (table["metric"] == column.metric)]
    return rows.pivot_table(index=SCENE, columns=SETTING, values="value", aggfunc="first", dropna=False).dropna(
        how="all", axis=1
    )


def settings(table: pd.DataFrame) -> pd.DataFrame:
    """The distinct rows a table has, in planned order."""
    return table[SETTING].drop_duplicates().reset_index(drop=True)


def common_scenes(table: pd.DataFrame) -> pd.Index:
    """Scenes on which every setting that finished any scene has a record with status ok."""
    state = table.pivot_table(index=SCENE, columns=SETTING, values="status", dropna=False,
                              aggfunc=lambda s: bool((s == "ok").all()))  # fmt: skip
    finished = state.fillna(False).astype(bool)
    return finished.index[finished.loc[:, finished.any()].all(axis=1)]


def counts(table: pd.DataFrame, setting: pd.Series) -> tuple[int, int]:
    """How many of the planned scenes of ``setting`` finished: n, N."""
    rows = table[(table[SETTING] == setting[SETTING]).all(axis=1)]
    done = rows.groupby(SCENE)["status"].agg(lambda s: bool((s == "ok").all()))
    return int(done.sum()), len(done)


def interval(values: pd.Series) -> Interval | None:
    """Mean over scenes with its bootstrap interval; None without any value."""
    values = values.dropna()
    return bootstrap_mean(values.to_numpy()) if len(values) else None


def against_reference(values: pd.DataFrame, setting: tuple[str, ...]) -> Interval | None:
    """Paired bootstrap of (setting - reference) over the scenes that both have."""
    reference = [c for c in values.columns if c[0] == REFERENCE]
    if not reference or setting not in values.columns or setting == reference[0]:
        return None
    both = values[[setting, reference[0]]].dropna()
    if len(both) < 2:
        return None
    return paired_bootstrap(both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy())


def ranks(means: dict[tuple[str, ...], float], better: str) -> tuple[object, object]:
    """The best and the second best setting (controls are not passed in)."""
    ordered = sorted((m, k) for k, m in means.items() if np.isfinite(m))
    if better == "higher":
        ordered.reverse()
    keys = [k for _, k in ordered] + [None, None]
    return keys[0], keys[1]


def holes(table: pd.DataFrame) -> pd.DataFrame:
    """Scenes without a result and the reason, and metrics that could not be computed."""
    failed = table[table["status"] != "ok"].drop_duplicates(["cell", "scene", "status", "reason"])
    failed = failed.assign(metric="all")
    missing = table[(table["status"] == "ok") & table["value"].isna()]
    grouped = missing.groupby(["label", "dataset", "protocol", "metric", "reason"], as_index=False)["scene"].nunique()
    shown = pd.concat([
        failed.groupby(["label", "dataset", "metric", "status", "reason"], as_index=False)["scene"].nunique(),
        grouped.assign(status="metric missing", metric=grouped["protocol"] + "/" + grouped["metric"]),
    ])  # fmt: skip
    return shown[["label", "dataset", "status", "metric", "scene", "reason"]].rename(columns={"scene": "scenes"})
