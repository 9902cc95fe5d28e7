"""Tables as text: heads of columns, numbers."""

from __future__ import annotations

import pytest

from bench3r.api.errors import Bench3RError
from bench3r.report.columns import QUALITY, column_of
from bench3r.report.tables import number


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
