"""Verdicts on how many times faster, smaller or worse, from records under a paper's conditions.

Times are paired ratios with their interval. Errors are compared scene by scene: by the interval of
their paired difference to the claimed multiple, never by a quotient of two means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench3r.metrics.statistics import MARKS_FROM, holm, mean_interval
from bench3r.report.claims import rules
from bench3r.report.claims.conditions import COSTS, Missing, listed, name_of
from bench3r.report.claims.decide import Bounds, Outcome, ratio_within, sign, significant
from bench3r.report.claims.ledger import Claim, Ledger
from bench3r.report.claims.lookup import Found, find, paired_time, scores_of
from bench3r.report.claims.reproduction import Answer, nothing, verdict_of
from bench3r.report.claims.verdict import (
    CONTRADICTED,
    ELSEWHERE,
    REPRODUCED,
    UNDECIDED,
    Verdict,
)
from bench3r.report.columns import by_interval
from bench3r.report.evidence import RunEvidence

TEST = (
    "times: paired ratio of calls in turn; errors: paired difference over scenes to the claimed "
    "multiple; what is missed corrected by Holm"
)


@dataclass(frozen=True)
class Quotient:
    """A case that was measured: in words, and whether it is as claimed."""

    text: str
    good: Outcome
    p: float  # of the bound that is missed; 1 without one, NaN where nothing is tested
    records: tuple[str, ...]


def ratio(rule: rules.Ratio, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Whether the ratios of all cases are as claimed."""
    bounds, claimed = _bounds(rule, ledger)
    known, missing = _all(rule.cases, bounds, ledger, run)
    if not known:
        return nothing(missing, rule.otherwise, claim, ledger, run)
    return verdict_of(_corrected(known), missing, TEST, f"95 % interval within {claimed}")


def runs_on(rule: rules.RunsOn, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Whether the method finishes on every backbone without losing more than is allowed."""
    known, missing = _all(rule.cases, Bounds(-math.inf, rule.at_most), ledger, run)
    if not known:
        return Verdict(ELSEWHERE, missing="; ".join(listed(missing)))
    threshold = f"it works: at most {rule.at_most:g} times the backbone's error (ours)"
    return verdict_of(_corrected(known), missing, TEST, threshold)


def _all(
    cases: list[rules.Case], bounds: Bounds, ledger: Ledger, run: RunEvidence
) -> tuple[list[Quotient], list[tuple[str, Missing]]]:
    """The cases that were measured, and what the others need."""
    known = []
    missing = []
    for case in cases:
        one = _quotient(case, bounds, ledger, run)
        if isinstance(one, Missing):
            missing.append((case.quantity, one))
        else:
            known.append(one)
    return known, missing


def _corrected(known: list[Quotient]) -> list[Answer]:
    """Every case; one that misses the claim has to do so among all that were tested."""
    adjusted = holm(np.array([one.p for one in known]))
    answers = []
    for one, p in zip(known, adjusted, strict=True):
        good = one.good
        if good is False and math.isfinite(p) and not significant(p):
            good = None
        answers.append(Answer(good, one.text, one.records))
    return answers


def both_found(case: rules.Case, ledger: Ledger, run: RunEvidence) -> tuple[Found, Found] | Missing:
    """What the run measured of the case's ``of`` and ``over``."""
    number = rules.Measurement(place=case.place, quantity=case.quantity)
    found = []
    for subject in (case.of, case.over):
        one = find(number, subject, ledger, run)
        if isinstance(one, Missing):
            return one
        if one.status != "ok":
            return Missing(f"a value of {name_of(subject, ledger)}", (one.status,))
        found.append(one)
    return found[0], found[1]


def _quotient(
    case: rules.Case, bounds: Bounds, ledger: Ledger, run: RunEvidence
) -> Quotient | Missing:
    both = both_found(case, ledger, run)
    if isinstance(both, Missing):
        return both
    records = tuple(dict.fromkeys([*both[0].records, *both[1].records]))
    names = f"{name_of(case.of, ledger)} over {name_of(case.over, ledger)}"
    if case.quantity == "time":
        return _of_times(case, bounds, names, records, ledger, run)
    value = both[0].value / both[1].value if both[1].value else math.inf
    if case.quantity in COSTS:
        good = bounds.holds(value, value)
        return Quotient(f"{case.quantity}, {names}: {value:.3g}", good, math.nan, records)
    first, second = (
        scores_of(rules.Measurement(place=case.place, quantity=case.quantity), one, ledger, run)
        for one in (case.of, case.over)
    )
    found, good, p = ratio_within(first, second, bounds)
    text = f"{case.quantity}, {names}: {value:.3g}"
    if found is not None:
        plain = by_interval(found.mean, found.low, found.high, 4, signed=True)
        text += f" (difference {plain}, {found.n} scenes)"
    return Quotient(text, good, p, records)


def _of_times(
    case: rules.Case,
    bounds: Bounds,
    names: str,
    records: tuple[str, ...],
    ledger: Ledger,
    run: RunEvidence,
) -> Quotient | Missing:
    """A ratio of paired times; doubtful ones do not decide."""
    found = paired_time(case, ledger, run)
    if isinstance(found, Missing):
        return found
    text = f"time, {names}: {by_interval(found.value, found.low, found.high, 2)}"
    text += f" ({found.n} pairs{', suspect: ' + found.suspect if found.suspect else ''})"
    good = None if found.suspect else bounds.holds(found.low, found.high)
    return Quotient(text, good, math.nan, records)


def _bounds(rule: rules.Ratio, ledger: Ledger) -> tuple[Bounds, str]:
    """The smallest and the largest ratio that agree, and the claim in words."""
    near = ledger.tolerances.ratio
    if rule.at_most is not None:
        return Bounds(-math.inf, float(rule.at_most)), f"at most {rule.at_most:g}"
    expect = rule.expect
    assert expect is not None
    if isinstance(expect, list):
        low, high = expect
        words = f"{low:g} to {high:g} (± {near:.0%})"
        return Bounds(low * (1 - near), high * (1 + near)), words
    return Bounds(expect * (1 - near), expect * (1 + near)), f"{expect:g} (± {near:.0%})"


def trend(rule: rules.Trend, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Whether the ratio falls with the frames: by its slope in every scene that all cases have."""
    by_frames: dict[int, pd.Series] = {}
    shown = []
    missing = []
    records: list[str] = []
    for case in rule.cases:
        both = both_found(case, ledger, run)
        if isinstance(both, Missing):
            missing.append((case.quantity, both))
            continue
        number = rules.Measurement(place=case.place, quantity=case.quantity)
        of = _named(scores_of(number, case.of, ledger, run))
        over = _named(scores_of(number, case.over, ledger, run))
        frames = ledger.places[case.place].frames
        by_frames[frames] = np.log(of / over)
        shown.append(f"{frames:,} frames: {both[0].value / both[1].value:.3g}")
        records += [*both[0].records, *both[1].records]
    if missing:
        return Verdict(ELSEWHERE, missing="; ".join(listed(missing)))
    return _fall(pd.DataFrame(by_frames).dropna(), rule.cases[0], shown, tuple(records), ledger)


def _fall(
    ratios: pd.DataFrame,
    case: rules.Case,
    shown: list[str],
    records: tuple[str, ...],
    ledger: Ledger,
) -> Verdict:
    """The verdict on log ``ratios`` of scenes (rows) over frame counts (columns)."""
    if len(ratios) < 2:
        return Verdict(ELSEWHERE, missing="two scenes with all frame counts")
    places = np.log(ratios.columns.to_numpy(dtype=float))
    places -= places.mean()
    slopes = ratios.to_numpy() @ places / (places**2).sum()
    found = mean_interval(slopes)
    falls = sign(found)
    word = UNDECIDED
    if falls:
        word = REPRODUCED if falls < 0 else CONTRADICTED
    slope = by_interval(found.mean, found.low, found.high, 3, signed=True)
    return Verdict(
        word,
        found=f"{case.quantity} over that of {name_of(case.over, ledger)}: {', '.join(shown)}; "
        f"slope {slope} of log ratio over log frames",
        test="mean slope over scenes",
        threshold=f"95 % interval below 0, n ≥ {MARKS_FROM}",
        n=found.n,
        records=tuple(dict.fromkeys(records)),
    )


def _named(values: pd.Series) -> pd.Series:
    """Values by scene whatever their frame count."""
    return values.set_axis(values.index.get_level_values("scene"))
