"""Tables as text: LaTeX, heads of columns, numbers."""

from __future__ import annotations

import pandas as pd
import pytest

from bench3r.api.errors import Bench3RError
from bench3r.report.columns import QUALITY, column_of
from bench3r.report.tables import Table, latex_text, number


def test_latex_is_escaped():
    assert latex_text("**0.1** [0.0, 50 %]") == r"\textbf{0.1} [0.0, 50 \%]"
    assert latex_text("_0.123_ [0.1, 0.2] ≈") == r"\underline{0.123} [0.1, 0.2] $\approx$"
    assert latex_text("relpose_pi3 & a_b_c") == r"relpose\_pi3 \& a\_b\_c"
    assert latex_text("CD ↓ (median depths²)") == r"CD $\downarrow$ (median depths$^2$)"


def test_long_tables_break_over_pages():
    short = pd.DataFrame({"method": ["a"], "value": ["1"]})
    long = pd.DataFrame({"method": ["a sentence " * 8], "value": ["1"]})
    assert r"\begin{table}" in Table("t", "t", "c", short, short).latex()
    assert r"\begin{longtable}" in Table("t", "t", "c", long, long, ["note"]).latex()


def test_heads_come_from_the_protocol():
    titles = [column.title for column in QUALITY]
    assert titles[0] == "CD ↓ (median depths)"
    assert titles[1] == "F1 ↑ (1 % of diagonal)"
    assert titles[2] == "dMSE ↓ (median depths²)"
    with pytest.raises(Bench3RError, match="no_such"):
        column_of("depth_median/no_such")
    with pytest.raises(Bench3RError, match="protocol/metric"):
        column_of("absrel")


def test_what_is_no_number_is_a_dash():
    assert [number(v, ".1f") for v in (1.25, None, float("nan"))] == ["1.2", "–", "–"]
