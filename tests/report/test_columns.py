"""Numbers as tables show them: digits by the interval, no signed zero."""

from __future__ import annotations

import pytest

from bench3r.report.columns import by_interval, digits_of, fixed
from bench3r.report.tables import number

NAN = float("nan")


def test_the_interval_decides_the_digits():
    assert by_interval(0.1, 0.09841, 0.10173) == "0.1000 [0.0984, 0.1017]"
    assert by_interval(0.043217, 0.0312, 0.0566) == "0.043 [0.031, 0.057]"
    assert by_interval(12.3456, 2.1, 29.8) == "12 [2, 30]"
    assert by_interval(1234.5, 900, 1500) == "1234 [900, 1500]"


def test_without_an_interval_the_column_decides():
    assert by_interval(0.04321, NAN, NAN, 3) == "0.043"
    assert by_interval(0.5, 0.5, 0.5, 2) == "0.50 [0.50, 0.50]"
    assert by_interval(NAN, 0.1, 0.2) == "–"


def test_digits_below_the_noise_are_not_shown():
    assert digits_of(-1e-6, 1e-6) == 6
    assert digits_of(-1e-6, 1e-6, noise=1e-4) == 4
    assert by_interval(1e-5, -1e-6, 2e-5, noise=1e-3, signed=True) == "0.000 [0.000, 0.000]"


@pytest.mark.parametrize("value", [-0.0, -0.0004, 0.0004, 0.0])
def test_what_rounds_to_zero_has_no_sign(value):
    assert fixed(value, 3) == "0.000"
    assert fixed(value, 3, signed=True) == "0.000"
    assert number(value, "+.3f") == "0.000"
    assert number(value / 100, ".1%") == "0.0%"


def test_differences_carry_their_sign():
    assert by_interval(-0.0091, -0.012, -0.006, signed=True) == "-0.0091 [-0.0120, -0.0060]"
    assert by_interval(0.02, -0.01, 0.05, signed=True) == "+0.020 [-0.010, +0.050]"
