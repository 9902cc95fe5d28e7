"""Methods over frame counts: paired ratios of every count, memory above the baseline, intervals."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from bench3r.api.presentation import FramesTable
from bench3r.report.columns import QUALITY
from bench3r.report.evidence import Evidence, Setting
from bench3r.report.sections.frames import frames_table
from tests.helpers.evidence import cost, evidence, rows

DENSE = Setting("vggt", "VGGT", "backbone", "{}", "vggt")
FAST = Setting("fast", "FAST", "plugin", "{}", "vggt")
SECTION = FramesTable("frames", "Over frames")
COLUMN = QUALITY[0]


def at(frames: int, ratio: float, apart: float) -> Evidence:
    """One frame count: FAST takes ``ratio`` of VGGT's time, whose own process was ``apart`` slow."""
    table = rows({"vggt": [0.1, 0.2, 0.3], "fast": [0.2, 0.3, 0.4]}, column=COLUMN)
    table = table.assign(frames=frames, device="a CPU", procedural=False)
    table.loc[table["method"].eq("vggt"), "kind"] = "backbone"
    memory = {"peak_rss_bytes": 3e9, "baseline_rss_bytes": 1e9, "frames": frames}
    costs = [
        cost(DENSE, seconds=[apart] * 6, flops=4e9, **memory),
        cost(FAST, seconds=[ratio] * 6, reference_seconds=[1.0] * 6, flops=2e9, **memory),
    ]
    found = evidence(table, costs=costs)
    found.frames = frames
    return found


def test_every_frame_count_has_its_paired_ratio_and_quality_its_interval():
    """At 8 frames the backbone's own process was ten times as slow, which saves FAST nothing."""
    counts = [at(4, 1.25, 1.0), at(8, 0.5, 10.0)]
    table = pd.concat([e.table for e in counts])
    run = SimpleNamespace(by_frames=counts, first=counts[0], table=table)
    found = frames_table(run, "fast", SECTION)
    assert found is not None
    shown = found.shown.set_index(["method", "frames"])
    assert shown.loc[("FAST", 4), "time / backbone"] == "1.250 [1.250, 1.250]"
    assert shown.loc[("FAST", 8), "time / backbone"] == "0.500 [0.500, 0.500]"
    assert shown.loc[("VGGT", 8), "time / backbone"] == "1"
    assert shown.loc[("FAST", 8), "above the baseline (GB)"] == "2"
    raw = found.raw.set_index(["method", "frames"])
    assert raw.loc[("FAST", 4), COLUMN.key] == pytest.approx(0.3)
    assert (
        raw.loc[("FAST", 4), f"{COLUMN.key}/low"] < 0.3 < raw.loc[("FAST", 4), f"{COLUMN.key}/high"]
    )
    assert "[" in shown.loc[("FAST", 4), COLUMN.title]
    assert "calls taken in turn" in " ".join(found.notes)
