"""The comparison at equal cost: the control between its settings, and the answer in words."""

from __future__ import annotations

import pandas as pd

from bench3r.report.evidence import Setting
from bench3r.report.sections.equal_cost import CurvePoint, answers, at_cost, control_curve

SCENES = ["s0", "s1"]


def test_the_control_is_linear_between_its_settings_and_nearest_beyond():
    curve = [
        CurvePoint(1.0, pd.Series([0.0, 10.0], SCENES)),
        CurvePoint(3.0, pd.Series([4.0, 20.0], SCENES)),
    ]
    values, remark = at_cost(curve, 2.0)
    assert (values.tolist(), remark) == ([2.0, 15.0], "between two controls")
    values, remark = at_cost(curve, 0.5)
    assert values.tolist() == [0.0, 10.0]
    assert remark == "costs -50.0% against the cheapest control"
    values, remark = at_cost(curve, 4.5)
    assert values.tolist() == [4.0, 20.0]
    assert remark == "costs +50.0% against the most expensive control"


def test_only_controls_whose_flops_are_known_make_the_curve():
    large = Setting("control", "c", "plugin", '{"q": 3}', "b")
    small = large._replace(options='{"q": 1}')
    unknown = large._replace(options='{"q": 2}')
    other = large._replace(method="other")
    values = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]])
    values.columns = pd.Index([large, small, unknown, other], tupleize_cols=False)
    costs = {large: 3.0, small: 1.0, unknown: float("nan"), other: 2.0}
    assert [p.flops for p in control_curve(values, costs, {"control"})] == [1.0, 3.0]


def test_answers_group_metrics_by_verdict():
    raw = pd.DataFrame(
        [{"method": "m", "p/a/verdict": "+", "p/b/verdict": "=", "p/c/verdict": "+"}]
    )
    (text,) = answers(raw)
    assert "better in a, c; not told apart in b" in text
