"""The main comparison: ratios of whole models to the reference."""

from __future__ import annotations

import pandas as pd

from bench3r.report.reported import all_reported
from bench3r.report.sections.main import ratio_notes
from bench3r.report.tables import Table

(PAPER,) = all_reported()


def test_whole_models_are_set_against_the_reference():
    raw = pd.DataFrame(
        [
            {"method": "vggt", "kind": "backbone", "label": "VGGT", "profile_flops": 4e9},
            {"method": "dust3r", "kind": "model", "label": "DUSt3R", "profile_flops": 12e9},
            {"method": "mast3r", "kind": "model", "label": "MASt3R", "profile_flops": None},
        ]
    )
    notes = ratio_notes(Table("t", "t", "c", raw, raw), PAPER)
    assert len(notes) == 1
    assert "DUSt3R took 3.0 times VGGT's FLOPs, alignment left out (reported: 0.88; " in notes[0]
    assert "9.7 times its time, which cannot be set against ours" in notes[0]
    assert ratio_notes(Table("t", "t", "c", raw[1:], raw[1:]), PAPER) == []
