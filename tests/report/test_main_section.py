"""The main comparison: a paper's own rows, and ratios of whole models."""

from __future__ import annotations

import pandas as pd

from bench3r.report.reported import all_reported, titled
from bench3r.report.sections.main import add_reported, ratio_notes
from bench3r.report.tables import Table

(PAPER,) = all_reported()


def test_whole_models_are_set_against_the_reference():
    raw = pd.DataFrame(
        [
            {"method": "vggt", "kind": "backbone", "label": "VGGT", "time_s": 0.1, "flops": 4e9},
            {"method": "dust3r", "kind": "model", "label": "DUSt3R", "time_s": 1.5, "flops": 12e9},
            {"method": "mast3r", "kind": "model", "label": "MASt3R", "time_s": None, "flops": None},
        ]
    )
    notes = ratio_notes(Table("t", "t", "c", raw, raw), PAPER)
    assert len(notes) == 1
    assert "15.0 times VGGT's time and 3.0 times its FLOPs (reported: 9.7 and 0.88)" in notes[0]
    assert ratio_notes(Table("t", "t", "c", raw[1:], raw[1:]), PAPER) == []


def test_reported_numbers_stand_in_parentheses_below_ours():
    raw = pd.DataFrame([{"method": "vggt", "label": "VGGT"}])
    shown = pd.DataFrame([{"method": "VGGT", "CD ↓": "0.1", "n/N": "3/3"}])
    table = Table("table2", "t", "c", shown, raw)
    add_reported(table, PAPER)
    assert table.shown.iloc[1].tolist() == ["VGGT, reported by SpatialMoR", "(1.72)", "–"]
    assert "not measured by us" in table.notes[0]


def test_a_title_says_what_the_table_is_in_a_paper():
    assert titled("Methods compared", "table2") == "Methods compared (SpatialMoR's Table II)"
    assert titled("Other", "other") == "Other"
