"""Marks of tables: only with scenes enough, beyond rounding, corrected for a whole column."""

from __future__ import annotations

import numpy as np
import pytest

from bench3r.report.columns import column_of
from bench3r.report.comparison import comparison, differences
from tests.helpers.evidence import COLUMN, evidence, rows

KEY = "depth_median/absrel"
NEAR = [0.2, 0.3, 0.4, 0.25, 0.35, 0.3, 0.28, 0.33, 0.22]
SHIFTS = np.array([1, -1, 0.5, -0.7, 0.8, -0.4, 0.3, -0.9, 0.2])


def compared(values: dict[str, list[float | None]], column=COLUMN):
    table = rows(values, column=column)
    return comparison(evidence(table), table, (column,), name="t", title="title")


def text_of(table):
    return table.shown.set_index("method")[COLUMN.title]


def near_and_far(n: int) -> dict[str, list[float | None]]:
    """Two settings that no scenes tell apart, and one that is twice as far off."""
    vggt = np.array(NEAR[:n])
    return {
        "vggt": vggt.tolist(),
        "same": (vggt + 0.01 * SHIFTS[:n]).tolist(),
        "worse": (2 * vggt).tolist(),
    }


def test_nine_scenes_mark_the_best_its_ties_and_what_is_like_the_backbone():
    text = text_of(compared(near_and_far(9)))
    assert text["VGGT"].startswith("**") or text["SAME"].startswith("**")
    assert ["†" in text[m] for m in ("VGGT", "SAME", "WORSE")] == [True, True, False]
    assert ["≈" in text[m] for m in ("VGGT", "SAME", "WORSE")] == [False, True, False]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_scenes_mark_nothing_and_say_so(n):
    table = compared(near_and_far(n))
    assert not text_of(table).str.contains(r"[*_†≈‡]").any()
    assert f"n = {n}" in table.notes[0]
    assert "nothing is marked" in table.notes[0]
    assert not any(table.raw[f"{KEY}/tied_with_best"])
    assert table.raw[f"{KEY}/effect_size"].isna().all()
    assert table.raw[f"{KEY}/n"].tolist() == [n] * 3
    assert table.raw[f"{KEY}/low"].notna().all()


def test_controls_are_not_ranked():
    table = compared(near_and_far(9) | {"oracle": [0.0] * 9})
    assert text_of(table)["ORACLE"].startswith("0.000")


def test_controls_are_not_compared_with_the_backbone():
    table = compared(near_and_far(9) | {"oracle": [x * 0.999 for x in NEAR]})
    assert "≈" not in text_of(table)["ORACLE"]


def test_a_group_of_one_is_no_tie():
    values = near_and_far(9)
    del values["same"]
    table = compared(values)
    assert not text_of(table).str.contains("†").any()
    assert table.raw[f"{KEY}/tied_with_best"].tolist() == [True, False]


def test_a_difference_of_rounding_is_a_tie_however_regular_it_is():
    vggt = np.array(NEAR)
    values = {
        "vggt": vggt.tolist(),
        "rounded": (vggt * (1 - 1e-6)).tolist(),  # always below, by what rounding may change
        "third": (vggt + 0.05).tolist(),
    }
    table = compared(values)
    text = text_of(table)
    assert text["VGGT"].startswith("**")
    assert text["ROUNDED"].startswith("**")
    assert text["THIRD"].startswith("_")
    assert text["ROUNDED"].endswith("≈")
    effects = table.raw.set_index("method")[f"{KEY}/effect_size"]
    assert np.isnan(effects["rounded"])


def test_two_scenes_have_no_effect_size():
    near = {"vggt": [0.2, 0.3], "same": [0.2 - 1e-9, 0.3 - 2e-9]}
    table = rows(near)
    found = differences(evidence(table), table, (COLUMN,), name="d", title="title")
    text = found.shown.set_index("method")[f"Δ {COLUMN.title}"]["SAME"]
    assert "d " not in text
    assert "-0.000" not in text
    assert np.isnan(found.raw[f"{KEY}/effect_size"]).all()


def test_the_marks_of_a_column_are_corrected_for_all_its_comparisons(rng):
    """Seven scenes can find one difference alone, and not the same among forty of chance."""
    vggt = np.full(7, 0.5)
    shift = 0.02 + 0.02 * rng.random(7)
    shift[3] = -0.003
    alone = {"vggt": vggt.tolist(), "other": (vggt + shift).tolist()}
    many = dict(alone)
    for i in range(40):
        many[f"chance{i}"] = (vggt + 0.02 * rng.normal(size=7)).tolist()
    one = compared(alone).raw.set_index("method").loc["other"]
    family = compared(many).raw.set_index("method").loc["other"]
    assert one[f"{KEY}/delta_p"] <= 0.05 < family[f"{KEY}/delta_p"]
    assert one[f"{KEY}/delta_low"] == family[f"{KEY}/delta_low"] > 0
    assert "≈" in text_of(compared(many))["OTHER"]
    assert "≈" not in text_of(compared(alone))["OTHER"]


def test_a_setting_without_a_value_is_not_ranked_on_other_scenes():
    values = near_and_far(9)
    values["same"][0] = None
    table = compared(values)
    text = text_of(table)
    assert "(n = 8)" in text["SAME"]
    assert "*" not in text["SAME"]
    assert "†" not in text["SAME"]


def test_the_table_of_differences_says_what_is_none():
    table = rows(near_and_far(9))
    found = differences(evidence(table), table, (COLUMN,), name="d", title="title")
    text = found.shown.set_index("method")[f"Δ {COLUMN.title}"]
    assert "≈" in text["SAME"]
    assert "≈" not in text["WORSE"]
    assert ", d +" in text["WORSE"]
    assert found.raw[f"{KEY}/delta_n"].dropna().tolist() == [9, 9]
    notes = " ".join(found.notes)
    for word in ("n = 9", "sign-flip", "studentised bootstrap", "Benjamini-Hochberg"):
        assert word in notes


def test_who_is_no_better_than_the_trivial_control_is_marked():
    values = near_and_far(9) | {"trivial": (np.array(NEAR) + 0.011 * SHIFTS[::-1]).tolist()}
    values["good"] = (np.array(NEAR) / 2).tolist()
    table = rows(values)
    table.loc[table["method"].eq("trivial"), "kind"] = "control"
    found = comparison(evidence(table), table, (COLUMN,), name="t", title="title")
    marked = text_of(found).str.contains("‡")
    assert marked.to_dict() == {
        "VGGT": True,
        "SAME": True,
        "WORSE": True,
        "TRIVIAL": False,
        "GOOD": False,
    }


def test_a_count_that_has_no_better_way_has_no_marks():
    column = column_of("depth_video/valid")
    table = compared(near_and_far(9), column)
    assert not table.shown[column.title].str.contains(r"[*†‡]").any()
