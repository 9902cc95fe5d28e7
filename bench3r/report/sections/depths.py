"""Where recursion depth was spent, by scene type, a paper's own shares below ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench3r.report.captions import caption_of, figure_data
from bench3r.report.evidence import Evidence
from bench3r.report.figures.recursion import depth_distribution, depth_shares
from bench3r.report.names import name_of
from bench3r.report.reported import all_reported
from bench3r.report.section import Canvas, Figure, Section
from bench3r.report.settings import SETTING, rows_of_setting, settings_of
from bench3r.report.tables import MISSING, Table, number

NAME = "table5"
NOTE = "Share of patches per number of recursions."


def depth_table(e: Evidence) -> Iterator[Table]:
    """Shares of patches per recursion depth and scene type, for the main settings."""
    rows = e.rows_of("main")
    facts = e.with_depths()
    facts = facts[facts["cell"].isin(rows["cell"].unique())]
    if facts.empty:
        return
    raw = depth_numbers(facts)
    shown = raw.drop(columns=SETTING).rename(columns={"shown": "method"}).astype(object)
    for column in raw.columns:
        if re.fullmatch(r"D\d+", column):
            shown[column] = [number(share, ".1%") for share in raw[column]]
    shown["mean depth"] = [f"{depth:.2f}" for depth in raw["mean depth"]]
    reported, notes = reported_rows()
    shown = pd.concat([shown, pd.DataFrame(reported)], ignore_index=True).fillna(MISSING)
    caption = caption_of(e, rows[rows["cell"].isin(facts["cell"])])
    name = f"{NAME}{e.suffix}"
    yield Table(name, "Depth distribution", caption, shown, raw, [NOTE, *notes])


def depth_numbers(facts: pd.DataFrame) -> pd.DataFrame:
    """Shares of depths: one row for every setting and scene type of ``facts``."""
    listed = []
    for setting in settings_of(facts):
        own = rows_of_setting(facts, setting)
        for kind, rows in own.groupby("scene_type", sort=False):
            row = {**setting._asdict(), "shown": name_of(setting, facts), "scene type": kind}
            shares = depth_shares(rows)
            row |= {**by_depth(shares), "mean depth": mean_depth(shares), "scenes": len(rows)}
            listed.append(row)
    return pd.DataFrame(listed)


def by_depth(shares: np.ndarray) -> dict[str, float]:
    """Shares [K] of recursion depths 1, 2, ... by the heads of their columns."""
    return {f"D{depth}": float(share) for depth, share in enumerate(shares, 1)}


def mean_depth(shares: np.ndarray) -> float:
    """Mean recursion depth of shares [K]."""
    return float(shares @ np.arange(1, len(shares) + 1))


def reported_rows() -> tuple[list[dict[str, str]], list[str]]:
    """Rows that papers report, and a note on each."""
    rows = []
    notes = []
    for reported in all_reported():
        for kind, shares in reported.depth_shares.items():
            row = {"method": f"{reported.paper}, reported", "scene type": kind}
            for column, share in by_depth(np.array(shares)).items():
                row[column] = f"({share:.1%})"
            row["mean depth"] = f"({mean_depth(np.array(shares)):.2f})"
            rows.append({**row, "scenes": MISSING})
        if reported.depth_shares:
            notes.append(f"Values in (parentheses) are reported by {reported.depth_source}.")
    return rows, notes


def depth_figure(canvas: Canvas) -> Iterator[Figure]:
    """Shares of recursion depths of every setting and scene type, as stacked bars."""
    e = canvas.run.first
    known = e.with_depths()
    everyone = e.everywhere()
    bars: list[tuple[str, np.ndarray]] = []
    for setting in settings_of(everyone):
        for kind, rows in rows_of_setting(known, setting).groupby("scene_type", sort=False):
            bars.append((f"{name_of(setting, everyone)}\n{kind}", depth_shares(rows)))
    about = figure_data(e, everyone[everyone["cell"].isin(known["cell"])])
    yield Figure(f"Where depth was spent. {about}", depth_distribution(bars, canvas.folder))


SECTION = Section("depths", 70, "depth", frame_tables=depth_table, figures=depth_figure)
