"""Methods that declare it, and unchanged backbones, over the frame counts of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from bench3r.api.presentation import FramesTable
from bench3r.report.captions import data_text, setup_text
from bench3r.report.columns import QUALITY, by_interval
from bench3r.report.cost_columns import memory_note
from bench3r.report.evidence import Evidence, RunEvidence, Setting, declarations
from bench3r.report.names import name_of
from bench3r.report.section import Section
from bench3r.report.settings import settings_of
from bench3r.report.summary import common_scenes, interval, of_scenes, weights_of
from bench3r.report.tables import Table, number
from bench3r.report.time_columns import RATIO, SECONDS, ratio_note, ratio_numbers, ratio_text

COSTS = (  # raw column, head, unit in raw units, format
    ("time_s", SECONDS, 1, ".3g"),
    ("peak_bytes", "peak memory (GB)", 1e9, ".3g"),
    ("above_baseline_bytes", "above the baseline (GB)", 1e9, ".3g"),
    ("flops", "FLOPs (G)", 1e9, ".4g"),
)
ENDS = ("/low", "/high")  # of raw columns: the ends of an interval
NOTE = (
    "Means over the scenes that all rows of the same frame count finished; [low, high]: 95 % CI "
    "over scenes."
)


def frames_tables(run: RunEvidence) -> Iterator[Table]:
    """A table for each declaration, where the run has several frame counts."""
    if len(run.by_frames) < 2:
        return
    for method, section in declarations(FramesTable):
        table = frames_table(run, method, section)
        if table is not None:
            yield table


def frames_table(run: RunEvidence, method: str, section: FramesTable) -> Table | None:
    """Time, memory, FLOPs and quality of ``method`` and of backbones; None without rows."""
    listed = [row for e in run.by_frames for row in _rows(e, method)]
    if not listed:
        return None
    raw = pd.DataFrame(listed)
    shown = raw[["method", "frames"]].copy()
    shown[RATIO] = [ratio_text(ratio) for ratio in raw.pop("ratio")]
    for column, head, unit, form in COSTS:
        shown[head] = [number(value / unit, form) for value in raw[column]]
    for quality in QUALITY:
        if quality.key in raw:
            ends = zip(*(raw[f"{quality.key}{part}"] for part in ("", *ENDS)), strict=True)
            shown[quality.title] = [
                by_interval(mean, low, high, quality.digits) for mean, low, high in ends
            ]
    costs = [cost for e in run.by_frames for cost in e.measured()]
    notes = [NOTE, ratio_note(run.first, costs), memory_note(costs)]
    rows = shown_rows(run.table, method)
    caption = f"{data_text(rows)} {setup_text(run.first, rows['device'])}"
    return Table(section.file, section.title, caption, shown, raw, notes)


def _rows(e: Evidence, method: str) -> Iterator[dict[str, object]]:
    """One raw row for each setting at one frame count."""
    rows = shown_rows(e.table, method)
    if rows.empty:
        return
    common = common_scenes(rows)
    for setting in settings_of(rows):
        yield _row(e, setting, rows, common)


def shown_rows(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """The rows of ``method`` and of unchanged backbones."""
    own = table["method"].eq(method) & table["kind"].eq("plugin")
    return table[own | table["kind"].eq("backbone")]


def _row(e: Evidence, setting: Setting, rows: pd.DataFrame, common: pd.Index) -> dict[str, object]:
    row: dict[str, object] = {"method": name_of(setting, rows), "frames": e.frames}
    row |= {name: value for name, value in setting._asdict().items() if name != "method"}
    cost = e.profile_of(setting)
    ratio = None if cost is None else cost.ratio
    row |= {"ratio": ratio, **ratio_numbers(ratio)}
    row["time_s"] = cost.median_seconds if cost else math.nan
    row["peak_bytes"] = cost.peak_bytes if cost else math.nan
    row["above_baseline_bytes"] = cost.above_baseline_bytes if cost else math.nan
    row["flops"] = cost.flops if cost else math.nan
    for column in QUALITY:
        values = of_scenes(rows, column, common)
        if setting not in values.columns:
            continue
        found = interval(values[setting], weights_of(rows, column))
        ends = (math.nan,) * 3 if found is None else (found.mean, found.low, found.high)
        row |= zip((column.key, *(f"{column.key}{end}" for end in ENDS)), ends, strict=True)
    return row


SECTION = Section("frames", 180, "length", run_tables=frames_tables)
