"""What the interactive plot shows (quality against cost by dataset), and the table of scenes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench3r.report.columns import QUALITY
from bench3r.report.evidence import Evidence, Setting, rows_of_setting, settings_of
from bench3r.report.names import name_of
from bench3r.report.tables import Table, number

FLOPS = "FLOPs (G)"
TIME = "time (s)"
MEMORY = "peak memory (MB)"
ENERGY = "energy (J)"
COSTS = (FLOPS, TIME, MEMORY, ENERGY)
Point = dict[str, str | float | None]  # method, dataset, and numbers by title


def pareto_points(e: Evidence) -> list[Point]:
    """Mean quality and cost of every setting and dataset; None where there is no number."""
    rows = e.ranked(e.everywhere())
    every = e.everywhere()
    out: list[Point] = []
    for setting in settings_of(rows):
        costs = _costs(e, setting)
        for dataset, part in rows_of_setting(rows, setting).groupby("dataset", sort=False):
            point: Point = {"method": name_of(setting, every), "dataset": str(dataset)}
            point |= _quality(part) | costs
            facts = e.facts_of(setting)
            counted = pd.to_numeric(facts.loc[facts["dataset"].eq(dataset), "flops"]).mean()
            point[FLOPS] = _known(counted / 1e9)
            out.append(point)
    return out


def costs_of(points: list[Point]) -> list[str]:
    """Titles of the costs that some point has."""
    known = pd.DataFrame(points).reindex(columns=list(COSTS)).notna().any()
    return list(known.index[known])


def _quality(rows: pd.DataFrame) -> Point:
    out: Point = {}
    for column in QUALITY:
        own = rows["protocol"].eq(column.protocol) & rows["metric"].eq(column.metric)
        out[column.title] = _known(rows.loc[own, "value"].mean())
    return out


def _costs(e: Evidence, setting: Setting) -> Point:
    """What the profile stage measured; nothing where it did not."""
    row = e.profile_of(setting)
    if row is None:
        return {}
    return {
        TIME: row.median_seconds,
        MEMORY: _known(row.peak_bytes / 1e6),
        ENERGY: _known(row.energy_j),
    }


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def scene_table(e: Evidence) -> Table:
    """Every scene of the main methods with its quality: the drill-down behind the means."""
    rows = e.rows_of("main")
    keys = ["label", "options", "dataset", "scene"]
    wide = pd.DataFrame(index=pd.MultiIndex.from_tuples([], names=keys))
    for column in QUALITY:
        own = rows["protocol"].eq(column.protocol) & rows["metric"].eq(column.metric)
        values = rows[own].set_index(keys)["value"]
        first_seed = values[~values.index.duplicated()].rename(column.title)
        wide = wide.join(first_seed, how="outer")
    raw = wide.reset_index()
    several = rows.groupby("label")["options"].nunique()
    names = []
    for label, options in zip(raw["label"], raw["options"], strict=True):
        names.append(f"{label} {options}" if several.get(label, 1) > 1 else label)
    shown = raw.assign(label=names).drop(columns="options").rename(columns={"label": "method"})
    for column in QUALITY:
        shown[column.title] = [number(v, f".{column.digits}f") for v in raw[column.title]]
    return Table(f"scenes{e.suffix}", "Scene by scene", e.about, shown, raw, [])
