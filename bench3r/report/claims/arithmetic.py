"""Whether a paper's numbers give what it claims."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from bench3r.report.claims.ledger import Ledger
from bench3r.report.claims.rules import Arithmetic
from bench3r.report.claims.verdict import HOLDS, Verdict, holds_if

OPERATIONS: dict[str, Callable[[list[float]], float]] = {
    "ratio": lambda v: v[0] / v[1],
    "reduction": lambda v: 100 * (1 - v[0] / v[1]),
    "increase": lambda v: 100 * (v[0] / v[1] - 1),
    "difference": lambda v: v[0] - v[1],
    "sum": sum,
}
RELATIONS: dict[str, Callable[[list[float], float], bool]] = {  # of numbers and a tolerance
    "equal": lambda v, w: abs(v[0] - v[1]) <= w,
    "different": lambda v, w: abs(v[0] - v[1]) > w,
    "increasing": lambda v, w: all(a < b for a, b in pairwise(v)),
    "decreasing": lambda v, w: all(a > b for a, b in pairwise(v)),
    "smallest": lambda v, w: v[0] <= min(v),
    "largest": lambda v, w: v[0] >= max(v),
}
ROUNDING = 1e-9  # of floating point, not of the papers


def arithmetic(rule: Arithmetic, ledger: Ledger) -> Verdict:
    """The verdict from the paper's numbers alone.

    Raises KeyError for an unknown claim or ``op``.
    """
    if rule.op == "all":
        return _all(rule, ledger)
    values = []
    texts = []
    for term in rule.of:
        assert not isinstance(term, Arithmetic)
        value = ledger.number(term)
        values.append(value)
        texts.append(f"{term} = {value:g}" if isinstance(term, str) else f"{value:g}")
    shown = ", ".join(texts)
    if rule.op in RELATIONS:
        good = RELATIONS[rule.op](values, float(rule.within))
        return holds_if(good, f"{rule.op}: {shown}")
    if rule.op == "largest_below":
        largest = max(values)
        limit = _single(rule, ledger)
        return holds_if(
            largest < limit, f"largest of {shown}: {largest:g}, claimed below {limit:g}"
        )
    found = OPERATIONS[rule.op](values)
    low, high, claimed = _range(rule, ledger)
    good = low - ROUNDING <= found <= high + ROUNDING
    return holds_if(good, f"{rule.op} of {shown} is {found:.4g}, claimed {claimed}")


def _all(rule: Arithmetic, ledger: Ledger) -> Verdict:
    """Whether every one of several rules holds."""
    good = True
    reasons = []
    for part in rule.of:
        assert isinstance(part, Arithmetic)
        verdict = arithmetic(part, ledger)
        good &= verdict.verdict == HOLDS
        reasons.append(verdict.why)
    return holds_if(good, "; ".join(reasons))


def _range(rule: Arithmetic, ledger: Ledger) -> tuple[float, float, str]:
    """Smallest and largest result that agrees with the claim, and the claim in words."""
    if isinstance(rule.expect, list):
        low, high = rule.expect
        return low, high, f"{low:g} to {high:g}"
    expect = _single(rule, ledger)
    return expect - rule.within, expect + rule.within, f"{expect:g}"


def _single(rule: Arithmetic, ledger: Ledger) -> float:
    assert not isinstance(rule.expect, list)
    return ledger.number(rule.expect)
