"""Tables as LaTeX: text, units, captions, and whether they compile in one and two columns."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from bench3r.report.latex import compact, full
from bench3r.report.latex_text import (
    CAPTION,
    ESCAPED,
    in_lines,
    latex_text,
    short_caption,
    units_in_heads,
)
from bench3r.report.tables import Table
from tests.helpers.latex import compiled, needs_latex, too_wide


def table(shown: dict[str, list[str]], **values: object) -> Table:
    """A table with a long caption and a note."""
    frame = pd.DataFrame(shown)
    caption = "Tiny models. " + "Scenes of four datasets, each with its own rule. " * 8
    given = {"name": "made_up", "title": "Made up & measured", "caption": caption} | values
    return Table(**given, shown=frame, raw=frame, notes=["n/N: finished, of planned_scenes; 50 %."])


def numbers(rows: int, columns: int) -> Table:
    """A table of means with intervals, as comparisons are."""
    shown = {"method": [f"method {n} (max depth {n})" for n in range(rows)]}
    for column in range(columns):
        shown[f"Δ metric{column} ↓ (median depths²)"] = ["**-0.043** [-0.055, 0.031]† ≈"] * rows
    return table(shown)


CASES = {
    "one column": numbers(4, 1),
    "both columns": numbers(6, 3),
    "wider than the page": numbers(6, 9),
    "longer than the page": numbers(130, 2),
    "sentences": table(
        {
            "claim": ["SpatialMoR beats standard MoR at every depth in `depth_median/absrel`"] * 40,
            "reported": ["9.9, 24.6 %", "3x"] * 20,
            "verdict": ["other direction here: +0.0009 [-0.0083, +0.0060] over 9 scenes"] * 40,
        }
    ),
    "long words": table(
        {
            "layer": ["aggregator.frame_blocks.0.attention.projection.weight"] * 4,
            "error": ["0.1"] * 4,
            "why": ["aggregator.frame_blocks.0.attention.projection.weight is not one"] * 4,
        }
    ),
    "strange letters": table({"a": [" ".join(ESCAPED), "Erdős ☃ 漢 é \U0001f600"], "b": ["", "–"]}),
    "no row": table({"method": [], "value": []}),
    "one head": table({"method": ["a", "b"]}),
}


def test_text_is_escaped():
    assert latex_text("**0.1** [0.0, 50 %]") == r"\textbf{0.1} [0.0, 50 \%]"
    assert latex_text("_0.123_ [0.1, 0.2] ≈") == r"\underline{0.123} [0.1, 0.2] $\approx$"
    assert latex_text("relpose_pi3 & a_b_c") == r"relpose\_pi3 \& a\_b\_c"
    assert latex_text("CD ↓ (median depths²)") == r"CD $\downarrow$ (median depths$^2$)"


def test_a_minus_is_a_minus_and_a_hyphen_a_hyphen():
    assert latex_text("-0.009 [-0.01, .5]") == "$-$0.009 [$-$0.01, .5]"
    assert latex_text("**-3**") == r"\textbf{$-$3}"
    assert latex_text("Depth-Anything-3 on 2026-11-29, 8-bit") == (
        "Depth-Anything-3 on 2026-11-29, 8-bit"
    )


def test_what_has_no_sign_becomes_plain_letters():
    assert latex_text("é ﬁ ☃") == "é fi ?"


def test_units_stand_in_the_head_once():
    shown = pd.DataFrame(
        {
            "method": ["5 % model", "b"],
            "saved": ["63.2% [-1.0%, 65.1%]", "–"],
            "faster": ["1.2 x", "0.9 x"],
            "mixed": ["3 %", "2"],
            "n": ["9", "9"],
        }
    )
    found = units_in_heads(shown)
    assert list(found) == ["method", "saved (%)", "faster (x)", "mixed", "n"]
    assert found.iloc[0].tolist() == ["5 % model", "63.2 [-1.0, 65.1]", "1.2", "3 %", "9"]
    assert list(shown) == ["method", "saved", "faster", "mixed", "n"]


def test_captions_are_short_and_end_with_a_sentence():
    made = numbers(2, 2)
    text = short_caption(made.title, made.caption)
    assert text.startswith("Made up & measured. Tiny models. Scenes of")
    assert text.endswith("rule.")
    assert 150 < len(text) < CAPTION
    assert len(short_caption("word " * 80, "")) < CAPTION
    assert short_caption("What?", "") == "What?"


@pytest.mark.parametrize("name", CASES)
def test_both_forms_have_caption_label_and_rules(name):
    for made in (full(CASES[name]), compact(CASES[name])):
        assert made.count(r"\label{tab:made-up}") == 1
        for rule in ("toprule", "midrule", "bottomrule"):
            assert f"\\{rule}" in made
        assert "hline" not in made
        for caption in re.findall(r"\\caption\{(.*?)\}(?:\\label|$)", made, re.MULTILINE):
            assert len(caption) < CAPTION + 20  # escapes


def test_long_tables_break_over_pages():
    assert r"\begin{longtable}" in full(CASES["sentences"])
    assert r"\begin{table}" in full(CASES["one column"])
    assert "longtable" not in compact(CASES["sentences"])  # which two columns refuse


def test_a_compact_table_takes_one_column_both_or_several_blocks():
    one = compact(CASES["one column"])
    assert r"\begin{table}[t]" in one
    assert one.count(r"\begin{tabular}") == 1
    both = compact(CASES["both columns"])
    assert r"\begin{table*}[t]" in both
    assert both.count(r"\begin{tabular}") == 1
    wide = compact(CASES["wider than the page"])
    assert wide.count(r"\begin{table*}") == 1
    assert wide.count(r"\begin{tabular}") == 3
    assert wide.count("method 5 (max depth 5)") == 3
    long = compact(CASES["longer than the page"])
    assert long.count(r"\begin{table") > 2
    assert "continued." in long
    assert long.count("method 77 (max depth 77)") == 1
    assert "resizebox" not in one + both + wide + long


def test_every_row_and_column_is_there_in_its_order():
    made = compact(CASES["longer than the page"])
    rows = re.findall(r"^method (\d+) ", made, re.MULTILINE)
    assert list(map(int, rows)) == list(range(130))
    heads = re.findall(r"metric(\d)", compact(CASES["wider than the page"]))
    assert list(map(int, heads)) == list(range(9))


def test_heads_break_before_their_unit():
    assert in_lines("CD ↓ (median depths)") == ["CD ↓", "(median depths)"]
    assert in_lines("n/N") == ["n/N"]


@needs_latex
@pytest.mark.parametrize("columns", [1, 2])
def test_compact_tables_compile_in_both_column_modes(tmp_path, columns):
    log = compiled(list(map(compact, CASES.values())), columns, tmp_path)
    assert not too_wide(log), too_wide(log)
    assert "Float too large" not in log


@needs_latex
def test_full_tables_compile_in_one_column(tmp_path):
    compiled(list(map(full, CASES.values())), 1, tmp_path)


def test_a_table_writes_all_its_forms(tmp_path):
    CASES["both columns"].write(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["made_up.csv", "made_up.md", "made_up.tex", "made_up_compact.tex"]
