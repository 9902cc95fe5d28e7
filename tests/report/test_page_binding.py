"""Which raw values stand behind a shown table, on planted tables."""

from __future__ import annotations

import pandas as pd
import pytest

from bench3r.report.page.binding import raw_columns, raw_places, shown_number
from bench3r.report.page.shown import better_end, shown_table
from bench3r.report.tables import Table


def table(shown: dict, raw: dict, name: str = "t") -> Table:
    return Table(name, "Title", "", pd.DataFrame(shown), pd.DataFrame(raw))


@pytest.mark.parametrize(
    ("text", "value", "half"),
    [
        ("**0.043** [0.03, 0.05]†", 0.043, 0.0005),
        ("_1,234_", 1234, 0.5),
        ("(8.7)", 8.7, 0.05),
        ("\N{MINUS SIGN}16.3%", -16.3, 0.05),
        ("1.2e+03", 1200, 50),
    ],
)
def test_the_number_that_a_cell_begins_with(text, value, half):
    assert shown_number(text) == pytest.approx((value, half))


def test_words_are_no_numbers():
    assert shown_number("oom") is None
    assert shown_number("scene 12") is None


def test_a_raw_column_is_found_by_its_values_in_any_unit():
    shown = {
        "method": ["A", "B"],
        "CD ↓": ["**0.12** [0.1, 0.2]", "0.13"],
        "memory (MB)": ["347 (24)", "350"],
    }
    raw = {"low": [0.1, 0.1], "cd/mean": [0.1204, 0.1296], "bytes": [347.2e6, 349.8e6]}
    one = table(shown, raw)
    assert raw_columns(one, raw_places(one)) == {1: 1, 2: 2}


def test_a_column_that_disagrees_in_one_row_is_not_taken():
    one = table({"method": ["A", "B"], "x": ["1.0", "2.0"]}, {"y": [1.0, 2.1]})
    assert raw_columns(one, raw_places(one)) == {}


def test_rows_that_papers_report_have_no_raw_row_wherever_they_stand():
    shown = {"method": ["A", "A, reported by Paper", "B"], "x": ["1", "(7)", "2"]}
    one = table(shown, {"x": [1, 2]})
    assert raw_places(one) == [[0], [], [1]]
    kinds = [row.kind for row in shown_table(one).rows]
    assert kinds == ["", "reported", ""]


def test_long_raw_rows_are_found_by_their_texts():
    shown = {"method": ["VGGT", "MoR"], "1 frames": ["1", "2"], "8 frames": ["3", "4"]}
    raw = {"label": ["VGGT", "MoR", "VGGT", "MoR"], "frames": [1, 1, 8, 8], "flops": [1, 2, 3, 4]}
    assert raw_places(table(shown, raw)) == [[0, 2], [1, 3]]


def test_of_claims_with_the_same_words_the_one_with_the_same_verdict_is_meant():
    shown = {"claim": ["it is faster", "it is faster"], "verdict": ["holds", "contradicted"]}
    raw = {
        "statement": ["it is faster", "it is faster", "it is faster"],
        "verdict": ["contradicted", "holds", "not measurable"],
    }
    assert raw_places(table(shown, raw)) == [[1], [0]]


def test_rows_sort_by_raw_values_that_look_the_same_when_rounded():
    raw = {"kind": ["backbone", "plugin"], "cd": [0.04312345, 0.04309876]}
    shown = shown_table(table({"method": ["A", "B"], "CD ↓": ["0.043", "0.043"]}, raw))
    assert [row.cells[1].raw for row in shown.rows] == ["0.04312345", "0.04309876"]
    assert [row.kind for row in shown.rows] == ["baseline", ""]


@pytest.mark.parametrize(
    ("title", "better"),
    [
        ("CD ↓ (median depths)", "lower"),
        ("Δ F1 ↑", "higher"),
        ("Time (s)", "lower"),
        ("peak memory (MB)", "lower"),
        ("FLOPs saved, counted", "higher"),
        ("n/N", ""),
    ],
)
def test_the_better_end_of_a_column(title, better):
    assert better_end(title) == better
