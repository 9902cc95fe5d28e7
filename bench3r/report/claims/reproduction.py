"""Verdicts from records under a paper's own conditions: is the number that it reports found?

Every rule says what it needs where the run lacks it. A number counts as found within the ledger's
tolerance of the reported one and its rounding; both, and over how many scenes, are in the reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench3r.report.claims import rules
from bench3r.report.claims.arithmetic import arithmetic
from bench3r.report.claims.ledger import Claim, Ledger
from bench3r.report.claims.lookup import (
    COSTS,
    SCALE,
    Found,
    Missing,
    find,
    listed,
    name_of,
    ratio_of_times,
)
from bench3r.report.claims.measured import published_exponent
from bench3r.report.claims.verdict import (
    CONTRADICTED,
    ELSEWHERE,
    REPRODUCED,
    UNDECIDED,
    Verdict,
    reproduced_if,
)
from bench3r.report.columns import column_of
from bench3r.report.evidence import RunEvidence

SHARES = ("share", "cosine")  # units of scores that end at 1
OUT_OF_MEMORY = "OOM"  # as papers print it
FEWEST_COUNTS = 3  # of frames, for an exponent


@dataclass(frozen=True)
class Answer:
    """One number, judged: inside the tolerance, outside, or neither for sure (None)."""

    good: bool | None
    why: str


def measured(rule: rules.Measured, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Each of the claim's numbers against the records of its conditions."""
    values = claim.value if isinstance(claim.value, list) else [claim.value]
    answers = []
    missing = []
    asked = 0
    for number, reported in zip(ledger.tables[rule.table], values, strict=True):
        if reported is None:
            continue
        asked += 1
        found = find(number, number.of or rule.of, ledger, run)
        if isinstance(found, Missing):
            missing.append((number.quantity, found))
        else:
            answers.append(_answer(number, reported, found.times(number.factor), ledger))
    if not answers:
        return _nothing(missing, rule.otherwise, claim, ledger, run)
    reasons = [f"{len(answers)} of {asked} numbers measured"]
    reasons += [answer.why for answer in answers]
    reasons += listed(missing)
    return Verdict(summary(answers), "; ".join(reasons))


def summary(answers: list[Answer]) -> str:
    """One verdict on several numbers: a single one that is off contradicts."""
    goods = [answer.good for answer in answers]
    if False in goods:
        return CONTRADICTED
    return UNDECIDED if None in goods else REPRODUCED


def _answer(
    number: rules.Measurement, reported: rules.Number | str, found: Found, ledger: Ledger
) -> Answer:
    """Whether ``found`` agrees with what is ``reported``."""
    if isinstance(reported, str):
        good = reported == OUT_OF_MEMORY and found.status == "oom"
        return Answer(good, f"{number.quantity}: {found.status} here, {reported} reported")
    if found.status != "ok":
        return Answer(False, f"{number.quantity}: {found.status} here, {reported:g} reported")
    near = tolerance(number.quantity, reported, ledger)
    text = f"{number.quantity} {found.value:.4g} here, {reported:g} reported"
    if number.at_least:
        return Answer(found.value >= reported, f"{text} as the least")
    text += f" (± {near:.2g}, {found.count} {found.what})"
    if abs(found.value - reported) <= near:
        return Answer(True, text)
    if found.low - near <= reported <= found.high + near:
        return Answer(None, f"{text}: the 95 % CI [{found.low:.4g}, {found.high:.4g}] includes it")
    return Answer(False, text)


def tolerance(quantity: str, reported: float, ledger: Ledger) -> float:
    """How far a measured number may be off: by its kind, and by the rounding of the reported."""
    allowed = ledger.tolerances
    digits = f"{reported:.10g}".partition(".")[2]
    rounding = 0.5 * 10.0 ** -len(digits) if digits else 0.0
    if quantity in COSTS:
        share = allowed.time if quantity == "time" else allowed.memory
        return share * abs(reported) + rounding
    if column_of(quantity).unit in SHARES:
        return allowed.share + rounding
    return allowed.error * abs(reported) + rounding


def _nothing(
    missing: list[tuple[str, Missing]],
    otherwise: rules.Arithmetic | rules.PublishedExponent | None,
    claim: Claim,
    ledger: Ledger,
    run: RunEvidence,
) -> Verdict:
    """The verdict where nothing is measured: what can be said without, and what is missing."""
    why = "; ".join(listed(missing))
    if otherwise is None:
        return Verdict(ELSEWHERE, why)
    if isinstance(otherwise, rules.Arithmetic):
        said = arithmetic(otherwise, ledger)
    else:
        said = published_exponent(otherwise, claim, ledger, run.first)
    return Verdict(said.verdict, f"{said.why}; not measured: {why}")


def _ratio_of(case: rules.Case, ledger: Ledger, run: RunEvidence) -> float | Missing:
    """The number of ``of`` over that of ``over``; calls in turn where there are some."""
    number = rules.Measurement(place=case.place, quantity=case.quantity)
    found = []
    for subject in (case.of, case.over):
        one = find(number, subject, ledger, run)
        if isinstance(one, Missing):
            return one
        if one.status != "ok":
            return Missing(f"a value of {name_of(subject, ledger)}", one.status)
        found.append(one.value)
    if case.quantity == "time":
        in_turn = ratio_of_times(number, (case.of, case.over), ledger, run)
        if in_turn is not None:
            return in_turn
    return found[0] / found[1] if found[1] else math.inf


def _ratios(
    cases: list[rules.Case], ledger: Ledger, run: RunEvidence
) -> tuple[list[tuple[rules.Case, float]], list[tuple[str, Missing]]]:
    """The cases that were measured with their ratios, and what the others need."""
    known = []
    missing = []
    for case in cases:
        value = _ratio_of(case, ledger, run)
        if isinstance(value, Missing):
            missing.append((case.quantity, value))
        else:
            known.append((case, value))
    return known, missing


def ratio(rule: rules.Ratio, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Whether the ratios of all cases are as claimed."""
    known, missing = _ratios(rule.cases, ledger, run)
    if not known:
        return _nothing(missing, rule.otherwise, claim, ledger, run)
    low, high, claimed = _bounds(rule, ledger)
    good = all(low <= value <= high for _, value in known)
    reasons = [_ratio_text(case, value, ledger) for case, value in known]
    reasons.append(f"claimed {claimed}")
    return reproduced_if(good, "; ".join([*reasons, *listed(missing)]))


def _bounds(rule: rules.Ratio, ledger: Ledger) -> tuple[float, float, str]:
    """The smallest and the largest ratio that agree, and the claim in words."""
    near = ledger.tolerances.ratio
    if rule.at_most is not None:
        return -math.inf, float(rule.at_most), f"at most {rule.at_most:g}"
    expect = rule.expect
    assert expect is not None
    if isinstance(expect, list):
        low, high = expect
        return low * (1 - near), high * (1 + near), f"{low:g} to {high:g} (± {near:.0%})"
    return expect * (1 - near), expect * (1 + near), f"{expect:g} (± {near:.0%})"


def _ratio_text(case: rules.Case, value: float, ledger: Ledger) -> str:
    of = name_of(case.of, ledger)
    over = name_of(case.over, ledger)
    return f"{case.quantity} of {of} is {value:.3g} times that of {over}"


def trend(rule: rules.Trend, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Whether the ratio falls from one case to the next."""
    known, missing = _ratios(rule.cases, ledger, run)
    if missing:
        return Verdict(ELSEWHERE, "; ".join(listed(missing)))
    values = [value for _, value in known]
    shown = []
    for case, value in known:
        shown.append(f"{ledger.places[case.place].frames:,} frames: {value:.3g}")
    falls = all(later < earlier for earlier, later in pairwise(values))
    why = f"{known[0][0].quantity} over that of {name_of(known[0][0].over, ledger)}: "
    return reproduced_if(falls, why + ", ".join(shown))


def growth(rule: rules.Growth, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """The exponent of measured time over frames, by least squares in logarithms."""
    place = ledger.places[rule.place]
    times: dict[int, float] = {}
    scale = run.plan.config.scale
    other = Missing("", f"scale {scale}" if scale != SCALE else "none of them")
    for frames in sorted({row.frames for row in run.first.costs}):
        if frames < place.frames:
            continue
        at = f"{rule.place} at {frames}"
        here = place.model_copy(update={"frames": frames})
        places = {**ledger.places, at: here}
        number = rules.Measurement(place=at, quantity="time")
        one = find(number, rule.of, ledger.model_copy(update={"places": places}), run)
        if isinstance(one, Missing):
            other = one
        elif one.status == "ok":
            times[frames] = one.value
    if len(times) < FEWEST_COUNTS:
        has = f"{len(times)} of them" if times else other.has
        asked = f"scale {SCALE}, times of {name_of(rule.of, ledger)} at {FEWEST_COUNTS} counts of "
        missing = Missing(f"{asked}{place.frames} frames or more", has)
        return _nothing([("time", missing)], rule.otherwise, claim, ledger, run)
    slope = float(np.polyfit(np.log(list(times)), np.log(list(times.values())), 1)[0])
    counts = ", ".join(f"{frames:,}" for frames in times)
    why = f"exponent {slope:.2f} of time over {counts} frames, {rule.expect:g} claimed"
    return reproduced_if(abs(slope - rule.expect) <= rule.within, f"{why} (± {rule.within:g})")


def runs_on(rule: rules.RunsOn, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Whether the method finishes on every backbone without losing more than is allowed."""
    known, missing = _ratios(rule.cases, ledger, run)
    if not known:
        return Verdict(ELSEWHERE, "; ".join(listed(missing)))
    good = all(value <= rule.at_most for _, value in known)
    reasons = [f"{len(known)} of {len(rule.cases)} backbones measured"]
    reasons += [_ratio_text(case, value, ledger) for case, value in known]
    reasons.append(f"it works: at most {rule.at_most:g} times")
    return reproduced_if(good, "; ".join([*reasons, *listed(missing)]))
