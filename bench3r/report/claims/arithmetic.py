"""Whether a paper's numbers give what it claims, given how they are rounded.

A printed number stands for all that round to it, so the result of an operation is a range, and it
agrees with a claim where the two ranges meet.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product
from typing import NamedTuple

from bench3r.report.claims.ledger import Ledger
from bench3r.report.claims.rules import Arithmetic, Rounded, Term
from bench3r.report.claims.verdict import FAILS, HALF, HOLDS, Verdict

OPERATIONS: dict[str, Callable[[tuple[float, ...]], float]] = {
    "ratio": lambda v: v[0] / v[1],
    "product": lambda v: v[0] * v[1],
    "reduction": lambda v: 100 * (1 - v[0] / v[1]),
    "increase": lambda v: 100 * (v[0] / v[1] - 1),
    "difference": lambda v: v[0] - v[1],
    "sum": sum,
    "mean_place": lambda v: sum((i + 1) * x for i, x in enumerate(v)) / sum(v),
}
RELATIONS: dict[str, Callable[[list[float], float], bool]] = {  # of numbers and a tolerance
    "equal": lambda v, w: abs(v[0] - v[1]) <= w,
    "different": lambda v, w: abs(v[0] - v[1]) > w,
    "among": lambda v, w: any(abs(v[0] - other) <= w for other in v[1:]),
    "increasing": lambda v, w: all(a < b for a, b in pairwise(v)),
    "decreasing": lambda v, w: all(a > b for a, b in pairwise(v)),
    "smallest": lambda v, w: v[0] <= min(v),
    "largest": lambda v, w: v[0] >= max(v),
}
WORDS = {  # of relations, as thresholds
    "equal": "equal",
    "different": "different",
    "among": "equal to one of the others",
    "increasing": "each larger than the one before",
    "decreasing": "each smaller than the one before",
    "smallest": "the first is the smallest",
    "largest": "the first is the largest",
}
AGAINST = ("equal", "different", "among", "smallest", "largest")  # the first with the others
FLOATING = 1e-9  # error of floating point, not of the papers
TEST = "arithmetic on the reported numbers, with their rounding"


class Span(NamedTuple):
    """A number and the range that its rounding leaves."""

    value: float
    low: float
    high: float
    computed: bool = False

    @property
    def text(self) -> str:
        """As it is printed; what is computed with four digits."""
        return f"{self.value:.4g}" if self.computed else f"{self.value:g}"


class Finding(NamedTuple):
    """Whether a rule holds; what was computed, and against what."""

    good: bool
    found: str
    against: str
    half: bool = False  # it holds, but not all of what is claimed


def arithmetic(rule: Arithmetic, ledger: Ledger) -> Verdict:
    """The verdict from the paper's numbers alone.

    Raises KeyError for an unknown claim or ``op``.
    """
    found = _finding(rule, ledger)
    word = HOLDS if found.good else FAILS
    if found.good and (found.half or rule.unchecked):
        word = HALF
    missing = f"not checked: {rule.unchecked}" if rule.unchecked else ""
    count = _count(rule)
    source = "computed from the reported numbers in bench3r/report/claims/claims.yaml; no record"
    return Verdict(
        word,
        found=found.found,
        test=TEST,
        threshold=found.against,
        n=count,
        unit="number" if count == 1 else "numbers",
        missing=missing,
        records=(source,),
    )


def _finding(rule: Arithmetic, ledger: Ledger) -> Finding:
    if rule.op == "all":
        return _all(rule, ledger)
    if rule.op == "range":
        return _within_range(rule, ledger)
    spans = [span_of(term, ledger) for term in rule.of]
    texts = [_text(term, ledger) for term in rule.of]
    shown = ", ".join(texts)
    if rule.op in AGAINST:
        shown = f"{texts[0]} against {', '.join(texts[1:])}"
    if rule.op in RELATIONS:
        allowed = float(rule.within) + _rounding(spans)
        good = RELATIONS[rule.op]([span.value for span in spans], allowed)
        exact = rule.op in ("equal", "different", "among")
        words = WORDS[rule.op]
        return Finding(good, shown, f"{words} (± {allowed:.3g})" if exact else words)
    if rule.op == "largest_below":
        limit = span_of(_single(rule), ledger)
        largest = max(spans)
        values = ", ".join(span.text for span in spans)
        against = f"the largest is below {limit.text}"
        return Finding(largest.value < limit.value, f"largest {largest.text} of {values}", against)
    own = _operated(rule.op, spans)
    low, high, claimed = _expected(rule, ledger)
    good = own.low - FLOATING <= high and own.high + FLOATING >= low
    rounded = f"{own.low:.4g} to {own.high:.4g} by rounding"
    return Finding(good, f"{rule.op}({shown}) = {own.text} ({rounded})", f"claimed {claimed}")


def span_of(term: Term, ledger: Ledger) -> Span:
    """The number of a term and how it is rounded. Raises KeyError for an unknown claim."""
    if isinstance(term, Arithmetic):
        return _operated(term.op, [span_of(part, ledger) for part in term.of])
    if isinstance(term, Rounded):
        half = float(term.rounding)
        return Span(float(term.value), term.value - half, term.value + half)
    value, half = ledger.printed(term)
    return Span(value, value - half, value + half)


def _operated(op: str, spans: list[Span]) -> Span:
    """The result of an operation, and its range over the corners of its inputs.

    Every operation is monotonous in each input, so the corners hold the extremes.
    """
    operation = OPERATIONS[op]
    value = operation(tuple(span.value for span in spans))
    corners = [operation(corner) for corner in product(*[(s.low, s.high) for s in spans])]
    return Span(value, min(corners), max(corners), computed=True)


def _rounding(spans: list[Span]) -> float:
    """By how much the first two numbers may differ for being rounded."""
    return sum((span.high - span.low) / 2 for span in spans[:2])


def _all(rule: Arithmetic, ledger: Ledger) -> Finding:
    """Whether every one of several rules holds."""
    parts = []
    for part in rule.of:
        assert isinstance(part, Arithmetic)
        parts.append(_finding(part, ledger))
    return Finding(
        good=all(part.good for part in parts),
        found="; ".join(part.found for part in parts),
        against="; ".join(dict.fromkeys(part.against for part in parts)),
        half=any(part.half for part in parts),
    )


def _within_range(rule: Arithmetic, ledger: Ledger) -> Finding:
    """Whether all numbers lie in a claimed range; half, where its ends are not reached."""
    assert isinstance(rule.expect, list)
    low, high = rule.expect
    spans = [span_of(term, ledger) for term in rule.of]
    values = sorted(span.value for span in spans)
    within = float(rule.within)
    inside = low - within <= values[0] and values[-1] <= high + within
    reached = abs(values[0] - low) <= within and abs(values[-1] - high) <= within
    shown = ", ".join(f"{value:.4g}" for value in values)
    found = f"the reported numbers give {shown}"
    if inside and not reached:
        found += f"; none gives {low:g} and {high:g}" if _far(values, rule) else ""
    against = f"all from {low:g} to {high:g} (± {within:g}), both ends reached"
    return Finding(inside, found, against, half=not reached)


def _far(values: list[float], rule: Arithmetic) -> bool:
    """Whether neither end of the range is reached."""
    assert isinstance(rule.expect, list)
    low, high = rule.expect
    return abs(values[0] - low) > rule.within and abs(values[-1] - high) > rule.within


def _text(term: Term, ledger: Ledger) -> str:
    """A term as its number, an operation with what it is made of."""
    found = span_of(term, ledger).text
    if isinstance(term, Arithmetic):
        return f"{found} from {term.op}({', '.join(_text(part, ledger) for part in term.of)})"
    return found


def _expected(rule: Arithmetic, ledger: Ledger) -> tuple[float, float, str]:
    """Smallest and largest result that agrees with the claim, and the claim in words."""
    within = float(rule.within)
    if isinstance(rule.expect, list):
        low, high = rule.expect
        return low - within, high + within, f"{low:g} to {high:g}"
    expect = span_of(_single(rule), ledger)
    allowed = within + (expect.high - expect.low) / 2
    return expect.value - allowed, expect.value + allowed, f"{expect.text} ± {allowed:.3g}"


def _single(rule: Arithmetic) -> int | float | str:
    assert not isinstance(rule.expect, list)
    return rule.expect


def _count(rule: Arithmetic) -> int:
    """How many reported numbers a rule uses."""
    total = 0
    for term in rule.of:
        total += _count(term) if isinstance(term, Arithmetic) else 1
    return total
