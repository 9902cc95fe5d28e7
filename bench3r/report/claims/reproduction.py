"""Verdicts on reported numbers, from records under the paper's own conditions.

Every rule says what it needs where the run lacks it. A number counts as found within the ledger's
tolerance of the reported one and its rounding; both, and over how many scenes, are in the reason.
Where only some of a claim's numbers could be measured, it is reproduced in part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench3r.report.claims import rules
from bench3r.report.claims.arithmetic import arithmetic
from bench3r.report.claims.conditions import COSTS, SCALE, Missing, listed, name_of
from bench3r.report.claims.ledger import Claim, Ledger, half_digit
from bench3r.report.claims.lookup import Found, find
from bench3r.report.claims.published import published_exponent
from bench3r.report.claims.verdict import (
    CONTRADICTED,
    ELSEWHERE,
    PARTLY,
    REPRODUCED,
    UNDECIDED,
    Verdict,
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
    records: tuple[str, ...] = ()


def summary(answers: list[Answer], asked: int) -> str:
    """One verdict on ``asked`` numbers of which there are answers.

    A single one that is off contradicts; without all of them no more than a part is reproduced.
    """
    goods = [answer.good for answer in answers]
    if False in goods:
        return CONTRADICTED
    if None in goods:
        return UNDECIDED
    return REPRODUCED if len(answers) == asked else PARTLY


def verdict_of(
    answers: list[Answer], missing: list[tuple[str, Missing]], test: str, threshold: str
) -> Verdict:
    """The verdict on numbers that were measured, and what the others need."""
    asked = len(answers) + len(missing)
    return Verdict(
        summary(answers, asked),
        found="; ".join(answer.why for answer in answers),
        test=test,
        threshold=threshold,
        n=len(answers),
        unit=f"of {asked} numbers",
        missing="; ".join(listed(missing)),
        records=tuple(dict.fromkeys(name for answer in answers for name in answer.records)),
    )


def measured(rule: rules.Measured, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Each of the claim's numbers against the records of its conditions."""
    values = claim.value if isinstance(claim.value, list) else [claim.value]
    answers = []
    missing = []
    for number, reported in zip(ledger.tables[rule.table], values, strict=True):
        if reported is None:
            continue
        found = find(number, number.of or rule.of, ledger, run)
        if isinstance(found, Missing):
            missing.append((number.quantity, found))
        else:
            answers.append(_answer(number, reported, found.times(number.factor), ledger))
    if not answers:
        return nothing(missing, rule.otherwise, claim, ledger, run)
    test = "each number against the reported one; of some of the paper's scenes the 95 % interval"
    return verdict_of(answers, missing, test, "the tolerance of each number (±)")


def _answer(
    number: rules.Measurement, reported: rules.Number | str, found: Found, ledger: Ledger
) -> Answer:
    """Whether ``found`` agrees with what is ``reported``."""
    files = found.records
    if isinstance(reported, str):
        good = reported == OUT_OF_MEMORY and found.status == "oom"
        why = f"{number.quantity}: {found.status} here, {reported} reported"
        return Answer(good, why, files)
    if found.status != "ok":
        why = f"{number.quantity}: {found.status} here, {reported:g} reported"
        return Answer(False, why, files)
    near = tolerance(number.quantity, reported, ledger)
    text = f"{number.quantity} {found.value:.4g} here, {reported:g} reported"
    if number.at_least:
        return Answer(found.value >= reported, f"{text} as the least", files)
    text += f" (± {near:.2g}, {found.count} {found.what})"
    if abs(found.value - reported) <= near:
        return Answer(True, text, files)
    if found.low - near <= reported <= found.high + near:
        interval = f"[{found.low:.4g}, {found.high:.4g}]"
        return Answer(None, f"{text}: the 95 % CI {interval} includes it", files)
    return Answer(False, text, files)


def tolerance(quantity: str, reported: rules.Number, ledger: Ledger) -> float:
    """How far a measured number may be off: by its kind, and by the rounding of the reported."""
    allowed = ledger.tolerances
    rounding = half_digit(reported)
    if quantity in COSTS:
        share = allowed.time if quantity == "time" else allowed.memory
        return share * abs(reported) + rounding
    if column_of(quantity).unit in SHARES:
        return allowed.share + rounding
    return allowed.error * abs(reported) + rounding


def nothing(
    missing: list[tuple[str, Missing]],
    otherwise: rules.Arithmetic | rules.PublishedExponent | None,
    claim: Claim,
    ledger: Ledger,
    run: RunEvidence,
) -> Verdict:
    """The verdict where nothing is measured: what can be said without, and what is missing."""
    why = "; ".join(listed(missing))
    if otherwise is None:
        return Verdict(ELSEWHERE, missing=why)
    if isinstance(otherwise, rules.Arithmetic):
        said = arithmetic(otherwise, ledger)
    else:
        said = published_exponent(otherwise, claim, ledger, run.first)
    return said.lacking(f"not measured: {why}")


def growth(rule: rules.Growth, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """The exponent of measured time over frames, by least squares in logarithms."""
    place = ledger.places[rule.place]
    times: dict[int, Found] = {}
    scale = run.plan.config.scale
    other = Missing("", (f"scale {scale}" if scale != SCALE else "none of them",))
    for frames in sorted({row.frames for row in run.first.costs}):
        if frames < place.frames:
            continue
        one = _time_at(rule, frames, ledger, run)
        if isinstance(one, Missing):
            other = one
        elif one.status == "ok":
            times[frames] = one
    if len(times) < FEWEST_COUNTS:
        has = (f"{len(times)} of them",) if times else other.has
        asked = f"scale {SCALE}, times of {name_of(rule.of, ledger)} at {FEWEST_COUNTS} counts of "
        missing = Missing(f"{asked}{place.frames} frames or more", has)
        return nothing([("time", missing)], rule.otherwise, claim, ledger, run)
    seconds = [found.value for found in times.values()]
    slope = float(np.polyfit(np.log(list(times)), np.log(seconds), 1)[0])
    counts = ", ".join(f"{frames:,}" for frames in times)
    good = abs(slope - rule.expect) <= rule.within
    return Verdict(
        REPRODUCED if good else CONTRADICTED,
        found=f"exponent {slope:.2f} of time over {counts} frames, {rule.expect:g} claimed",
        test="least squares of log time over log frames, median time of each count",
        threshold=f"{rule.expect:g} ± {rule.within:g}",
        n=len(times),
        unit="counts of frames",
        records=tuple(name for found in times.values() for name in found.records),
    )


def _time_at(rule: rules.Growth, frames: int, ledger: Ledger, run: RunEvidence) -> Found | Missing:
    """The time of the rule's subject at one frame count."""
    at = f"{rule.place} at {frames}"
    here = ledger.places[rule.place].model_copy(update={"frames": frames})
    places = {**ledger.places, at: here}
    number = rules.Measurement(place=at, quantity="time")
    return find(number, rule.of, ledger.model_copy(update={"places": places}), run)
