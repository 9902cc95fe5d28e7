"""The comparison at equal cost: which control there is, what it lost itself, and the verdict."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from bench3r.report.columns import QUALITY
from bench3r.report.equal_cost import CurvePoint, EqualCosts, at_cost
from bench3r.report.evidence import Evidence
from bench3r.report.sections.equal_cost import equal_cost_table
from bench3r.report.settings import Setting
from tests.helpers.evidence import cell, evidence, rows

SCENES = ["s0", "s1"]
COLUMN = QUALITY[0]
CURVE = [
    CurvePoint("two quarters", 1.0, pd.Series([0.0, 10.0], SCENES)),
    CurvePoint("four quarters", 3.0, pd.Series([4.0, 20.0], SCENES)),
]


def test_the_control_is_linear_between_its_settings():
    found = at_cost(CURVE, 2.0)
    assert found.values.tolist() == [2.0, 15.0]
    assert found.made_from == "between two quarters and four quarters"


@pytest.mark.parametrize("flops", [0.5, 0.97, 3.07, 3.49])
def test_beyond_two_percent_there_is_no_control_of_this_cost(flops):
    assert at_cost(CURVE, flops) is None


@pytest.mark.parametrize(("flops", "name"), [(0.985, "two quarters"), (3.05, "four quarters")])
def test_within_two_percent_the_nearest_control_is_of_equal_cost(flops, name):
    assert at_cost(CURVE, flops).made_from == name


def test_without_controls_there_is_none():
    assert at_cost([], 1.0) is None


CONTROL = Setting("shallow", "shallower", "plugin", '{"quarters": 4}', "vggt")
HALF = CONTROL._replace(options='{"quarters": 2}')
DENSE = Setting("vggt", "VGGT", "backbone", "{}", "vggt")
CHEAP = Setting("mor", "MoR", "plugin", "{}", "vggt")
GOOD = Setting("spatial_mor", "SpatialMoR", "plugin", "{}", "vggt")
DEAR = Setting("early_exit", "early exit", "plugin", "{}", "vggt")
FLOPS = {DENSE: 4.0, CONTROL: 4.0, HALF: 2.0, CHEAP: 3.0, GOOD: 3.0, DEAR: 4.652}
VALUES = {  # of eight scenes
    DENSE: [0.04 + 0.001 * i for i in range(8)],
    CONTROL: [0.05 + 0.001 * i for i in range(8)],
    HALF: [0.07 + 0.001 * i for i in range(8)],
    CHEAP: [0.05 + 0.0011 * i for i in range(8)],
    GOOD: [0.03 + 0.0012 * i for i in range(8)],
    DEAR: [0.04 + 0.0009 * i for i in range(8)],
}


def planted(scenes: int = 8) -> Evidence:
    """A run whose control was damaged by 0.01, and one method that costs 16.3 % more than it."""
    parts = []
    facts = []
    for place, (setting, values) in enumerate(VALUES.items()):
        part = rows({setting.method: values[:scenes]}, column=COLUMN)
        name = f"c{place}"
        parts.append(part.assign(cell=name, **setting._asdict()))
        for scene in range(scenes):
            one = {"dataset": "d", "frames": 4, "seed": 0, "scene": f"s{scene}"}
            facts.append({"cell": name, **setting._asdict(), **one, "flops": FLOPS[setting] * 1e9})
    cells = []
    for place, setting in enumerate(VALUES):
        one = cell(setting)
        one.id = f"c{place}"
        cells.append(one)
    return evidence(pd.concat(parts), cells=cells, facts=pd.DataFrame(facts))


def test_a_method_of_another_cost_is_not_compared():
    (table,) = equal_cost_table(planted())
    shown = table.shown.set_index("method")
    assert shown.loc["early exit", "control"] == "no control of this cost"
    assert shown.loc["early exit", COLUMN.title] == "–"
    assert "between shallower" in shown.loc["MoR", "control"]
    notes = " ".join(table.notes)
    assert "**early exit** against a shallower backbone: no control of this cost." in notes
    assert "chamfer_norm" not in notes


def test_a_method_is_better_only_beyond_what_the_control_lost_itself():
    """The control lost 0.01 and is 0.06 at 3 GFLOPs: 0.05 is no merit of the method, 0.03 is."""
    (table,) = equal_cost_table(planted())
    shown = table.shown.set_index("method")[COLUMN.title]
    assert shown["SpatialMoR"].startswith("better: -0.0")
    assert shown["MoR"].startswith("better, not beyond its damage: -0.0")
    notes = " ".join(table.notes)
    assert "**SpatialMoR** against a shallower backbone: better in CD." in notes


def test_the_controls_own_damage_is_shown():
    found = EqualCosts(planted())
    lost = found.damage(COLUMN, "vggt").interval
    assert lost.mean == pytest.approx(0.01)
    (table,) = equal_cost_table(found.e)
    (note,) = [text for text in table.notes if "own damage" in text]
    assert "n = 8" in note
    assert "CD +0.010" in note


def test_three_scenes_cannot_tell():
    (table,) = equal_cost_table(planted(3))
    assert "too few scenes to tell" in table.shown.set_index("method").loc["MoR", COLUMN.title]


def test_the_unchanged_backbone_and_the_controls_are_not_compared():
    (table,) = equal_cost_table(planted())
    assert table.shown["method"].tolist() == ["MoR", "SpatialMoR", "early exit"]
    assert [json.loads(options) for options in table.raw["options"]] == [{}, {}, {}]
