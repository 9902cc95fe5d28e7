"""The table of all scenes: the drill-down behind the means of the main comparison."""

from __future__ import annotations

import pandas as pd

from bench3r.report.columns import QUALITY
from bench3r.report.evidence import SETTING, Evidence, Setting
from bench3r.report.names import name_of
from bench3r.report.tables import Table, number

CAPTION = "One row per setting and scene, seeds averaged; the means of other tables are over these."


def scene_table(e: Evidence) -> Table:
    """Every scene of the main methods with its quality."""
    rows = e.rows_of("main")
    keys = [*SETTING, "dataset", "scene"]
    raw = rows[keys].drop_duplicates().set_index(keys)
    for column in QUALITY:
        own = rows["protocol"].eq(column.protocol) & rows["metric"].eq(column.metric)
        seeds = rows[own].groupby(keys, sort=False)["value"]
        raw[column.key] = seeds.agg(lambda values: values.mean(skipna=False))
    raw = raw.reset_index()
    settings = raw[SETTING].itertuples(index=False, name=None)
    names = {s: name_of(Setting._make(s), rows) for s in dict.fromkeys(settings)}
    own_names = [names[s] for s in raw[SETTING].itertuples(index=False, name=None)]
    shown = pd.DataFrame({"method": own_names, "dataset": raw["dataset"], "scene": raw["scene"]})
    for column in QUALITY:
        shown[column.title] = [number(v, f".{column.digits}f") for v in raw[column.key]]
    return Table(f"scenes{e.suffix}", "Scene by scene", CAPTION, shown, raw, [])
