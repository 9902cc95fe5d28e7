"""What the protocol alone changes."""

from __future__ import annotations

import pandas as pd
import pytest

from bench3r.report.columns import column_of
from bench3r.report.families import measured
from bench3r.report.sections.protocols import protocol_tables
from tests.helpers.evidence import evidence, rows

NEAR = [0.1, 0.2, 0.15, 0.12, 0.18, 0.14, 0.16]
FAR = [0.2, 0.4, 0.35, 0.25, 0.36, 0.3, 0.34]


def turned(n: int):
    """Two rules that rank two methods the other way round, on ``n`` scenes."""
    zero = [0.0] * n
    values = {"vggt": NEAR[:n], "fast": FAR[:n], "oracle": zero}
    other = {"vggt": [x + 0.3 for x in FAR[:n]], "fast": FAR[:n], "oracle": zero}
    second = rows(other, column=column_of("lite3r/absrel"))
    return evidence(pd.concat([rows(values), second], ignore_index=True))


def test_the_rankings_by_two_rules_are_compared():
    (found,) = measured(turned(2))
    assert found.means.loc["VGGT"].tolist() == pytest.approx([0.15, 0.6])
    assert found.moved().tolist() == pytest.approx([4, 1])
    assert found.agreement() == pytest.approx(-1)
    assert found.scenes == 2


def test_the_best_under_each_rule_is_named_and_marked():
    (found,) = measured(turned(7))
    assert found.best() == {"VGGT": ["median scale per scene"], "FAST": ["Lite3R"]}
    summary, family = protocol_tables(turned(7))
    assert summary.shown.loc[0, "best method"] == "VGGT (median scale per scene); FAST (Lite3R)"
    marked = family.shown["Lite3R"]
    assert not marked[0].startswith("**")
    assert marked[1].startswith("**")


def test_few_scenes_have_no_best_method():
    (found,) = measured(turned(3))
    assert found.best() == {}
    summary, family = protocol_tables(turned(3))
    assert summary.shown.loc[0, "best method"] == "–"
    assert not family.shown.astype(str).apply(lambda c: c.str.contains(r"\*")).any(axis=None)
    assert "Fewer than 6 scenes" in " ".join(family.notes)


def test_a_best_method_that_is_tied_says_so():
    values = {"vggt": NEAR, "fast": [x + 0.001 * (-1) ** i for i, x in enumerate(NEAR)]}
    both = [rows(values), rows(values, column=column_of("lite3r/absrel"))]
    (found,) = measured(evidence(pd.concat(both, ignore_index=True)))
    (best,) = found.best()
    assert best.endswith("†")
    assert sorted(found.tied_under("Lite3R")) == ["FAST", "VGGT"]
