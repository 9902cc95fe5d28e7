"""What the protocol alone changes."""

from __future__ import annotations

import pandas as pd
import pytest

from bench3r.report.columns import column_of
from bench3r.report.families import measured
from bench3r.report.sections.protocols import protocol_tables
from tests.helpers.evidence import evidence, rows


@pytest.fixture
def turned():
    """Two rules that rank two methods the other way round."""
    values = {"vggt": [0.1, 0.2], "fast": [0.2, 0.4], "oracle": [0.0, 0.0]}
    other = {"vggt": [0.4, 0.5], "fast": [0.2, 0.4], "oracle": [0.0, 0.0]}
    second = rows(other, column=column_of("lite3r/absrel"))
    return evidence(pd.concat([rows(values), second], ignore_index=True))


def test_the_rankings_by_two_rules_are_compared(turned):
    (found,) = measured(turned)
    assert found.means.loc["VGGT"].tolist() == pytest.approx([0.15, 0.45])
    assert found.moved().tolist() == pytest.approx([3, 1])
    assert found.agreement() == pytest.approx(-1)
    assert found.best() == {"VGGT": ["median scale per scene"], "FAST": ["Lite3R"]}


def test_the_best_under_each_rule_is_named_and_marked(turned):
    summary, family = protocol_tables(turned)
    assert summary.shown.loc[0, "best method"] == "VGGT (median scale per scene); FAST (Lite3R)"
    assert family.shown["Lite3R"].tolist() == ["0.45", "**0.3**"]
