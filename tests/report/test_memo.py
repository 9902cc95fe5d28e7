"""Answers about tables of records are computed once for each table."""

from __future__ import annotations

import gc

import numpy as np
import pandas as pd
import pytest

from bench3r.report.memo import once_per_table
from bench3r.report.settings import SCENE
from bench3r.report.summary import finished, keys_of, over_seeds, wide
from tests.helpers.evidence import COLUMN, rows


def test_a_table_is_asked_once_and_forgotten_with_it():
    asked: list[str] = []

    @once_per_table
    def longest(table: pd.DataFrame, name: str) -> str:
        asked.append(name)
        return str(table[name].max())

    table = pd.DataFrame({"a": ["x", "y"], "b": ["z", "w"]})
    assert [longest(table, "a"), longest(table, "a"), longest(table, "b")] == ["y", "y", "z"]
    assert asked == ["a", "b"]
    other = pd.DataFrame({"a": ["q"]})
    assert longest(other, "a") == "q"
    for _ in range(50):  # tables that take the place of a lost one in memory
        table = pd.DataFrame({"a": [str(len(asked))]})
        assert longest(table, "a") == str(len(asked) - 1)
        del table
        gc.collect()


def several() -> pd.DataFrame:
    """Two seeds, a missing value, a failed scene, oracle without s1 in seed 0; in no order."""
    values = {"vggt": [0.1, 0.2, 0.6], "fast": [0.2, None, 0.5], "oracle": [0.0, 0.0, 0.0]}
    one = rows(values, {("fast", 2): "oom"})
    both = pd.concat([one, one.assign(seed=1, value=one["value"] + 0.1)], ignore_index=True)
    return both.drop(index=7).sample(frac=1, random_state=0)


def test_wide_values_are_those_of_a_pivot():
    table = several()
    keyed = table.assign(setting=keys_of(table)).set_index([*SCENE, "setting"])
    pd.testing.assert_frame_equal(wide(table, COLUMN), keyed["value"].unstack("setting"))


def test_a_scene_of_which_a_seed_is_missing_stays_missing():
    found = over_seeds(wide(several(), COLUMN))
    by_method = {setting.method: found[setting].tolist() for setting in found.columns}
    np.testing.assert_allclose(by_method["vggt"], [0.15, 0.25, 0.65])
    np.testing.assert_allclose(by_method["oracle"], [0.05, np.nan, 0.05])
    np.testing.assert_allclose(by_method["fast"], [0.25, np.nan, np.nan])


def test_what_was_not_planned_is_neither_finished_nor_failed():
    table = several()
    found = finished(table[~(table["method"].eq("oracle") & table["scene"].eq("s0"))])
    state = {setting.method: found[setting].tolist() for setting in found.columns}
    assert state["vggt"] == [1, 1, 1, 1, 1, 1]
    assert state["fast"] == [1, 1, 0, 1, 1, 0]
    np.testing.assert_array_equal(state["oracle"], [np.nan, np.nan, 1, np.nan, 1, 1])


def test_two_values_of_one_scene_and_setting_are_an_error():
    table = rows({"vggt": [0.1, 0.2]})
    with pytest.raises(ValueError, match="two values"):
        wide(pd.concat([table, table], ignore_index=True), COLUMN)
