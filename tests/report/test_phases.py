"""Methods that time parts of their work: columns for each part, and for what they recorded."""

from __future__ import annotations

import pandas as pd

from bench3r.report.evidence import Setting
from bench3r.report.sections.phases import phase_tables
from bench3r.stages.collect import COLUMNS
from tests.helpers.evidence import cell, cost, evidence

DENSE = Setting("vggt", "VGGT", "backbone", "{}", "vggt")
PAIRS = Setting("dust3r", "dust3r", "model", "{}", "dust3r")


def test_network_and_alignment_have_columns_of_their_own():
    scenes = {"dataset": "scannet", "frames": 4, "seed": 0, "scene": "s"}
    settings = (DENSE, PAIRS)
    table = pd.DataFrame([{**s._asdict(), "cell": s.method, **scenes} for s in settings])
    table = table.reindex(columns=COLUMNS)
    dense = cost(DENSE, seconds=[0.1], flops=4e9)
    pairs = cost(
        PAIRS,
        seconds=[1.5],
        flops=12e9,
        phase_seconds={"network": [0.3], "alignment": [1.2]},
        phase_peak_bytes={"network": 4e8, "alignment": 5e8},
    )
    fact = {
        "graph": "complete",
        "edges": 12,
        "alignment_converged": True,
        "alignment_loss": 1.0,
        "alignment_start_loss": 2.0,
    }
    facts = pd.DataFrame([{**PAIRS._asdict(), **scenes, **fact}])
    cells = [cell(s) for s in settings]
    (found,) = phase_tables(evidence(table, cells, [dense, pairs], facts))
    row = found.shown.iloc[0]
    assert (row["graph"], row["pairs"]) == ("complete", "12")
    assert (row["network (s)"], row["alignment (s)"], row["total (s)"]) == ("0.3", "1.2", "1.5")
    assert row["FLOPs / VGGT"] == "3.00"
    assert row["time / VGGT"] == "–"  # timed in another process than VGGT
    assert any("No ratio: dust3r (a whole model: VGGT was not timed" in n for n in found.notes)
    assert (row["loss after / before"], row["converged"]) == ("0.50", "1/1")
    assert found.raw.loc[0, "loss_change"] == 0.5
    assert found.shown.iloc[1]["time / VGGT"] == "(9.7)"  # the paper's own, in parentheses
    assert list(phase_tables(evidence(table, cells, [dense], facts))) == []
