"""Verdicts on what papers found out, from records under their own conditions.

Which setting is better, where an option goes too far, which layers matter, what a method records.
"""

from __future__ import annotations

import json
import math

import pandas as pd

from bench3r.api.method import METHODS
from bench3r.metrics.statistics import paired_interval
from bench3r.report.claims import rules
from bench3r.report.claims.ledger import Claim, Ledger
from bench3r.report.claims.lookup import (
    SCALE,
    Found,
    Missing,
    find,
    has_defaults,
    name_of,
    scores_of,
)
from bench3r.report.claims.reproduction import Answer, summary
from bench3r.report.claims.verdict import ELSEWHERE, UNDECIDED, Verdict, reproduced_if
from bench3r.report.columns import column_of
from bench3r.report.evidence import RunEvidence


def ordering(rule: rules.Ordering, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Whether one setting is better than another over the scenes that both have."""
    case = rule.case
    number = rules.Measurement(place=case.place, quantity=case.quantity)
    for subject in (case.of, case.over):
        found = find(number, subject, ledger, run)
        if isinstance(found, Missing):
            return Verdict(ELSEWHERE, str(found))
    first = scores_of(number, case.of, ledger, run)
    second = scores_of(number, case.over, ledger, run)
    return _better(case.quantity, first, second)


def _better(quantity: str, first: pd.Series, second: pd.Series) -> Verdict:
    """Whether ``first`` is better than ``second`` over common scenes."""
    column = column_of(quantity)
    scenes = first.index.intersection(second.index)
    if len(scenes) < 2:
        return Verdict(ELSEWHERE, f"needs two scenes with both; this run has {len(scenes)}")
    delta = paired_interval(first[scenes].to_numpy(), second[scenes].to_numpy())
    interval = f"{delta.mean:+.4f} [{delta.low:+.4f}, {delta.high:+.4f}]"
    why = f"{column.title}: difference {interval} over {len(scenes)} scenes"
    if not delta.excludes_zero:
        return Verdict(UNDECIDED, why)
    return reproduced_if((delta.mean < 0) == (column.better == "lower"), why)


def knee(rule: rules.Knee, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Whether the error grows sharply beyond a value of an option."""
    number = rules.Measurement(place=rule.place, quantity=rule.quantity)
    dense = find(number, rule.over, ledger, run)
    if isinstance(dense, Missing):
        return Verdict(ELSEWHERE, str(dense))
    found: dict[float, float] = {}
    for value in _values_of(rule, run):
        options = {**rule.of.options, rule.option: value}
        one = find(number, rule.of.model_copy(update={"options": options}), ledger, run)
        if isinstance(one, Found):
            found[value] = one.value - dense.value
    below = [value for value in found if value <= rule.at]
    above = [value for value in found if value > rule.at]
    if not below or not above:
        subject = name_of(rule.of, ledger)
        asked = f"{subject} with {rule.option} on both sides of {rule.at:g}"
        has = ", ".join(f"{value:g}" for value in sorted(found)) or "no value"
        return Verdict(ELSEWHERE, str(Missing(asked, has)))
    near = found[max(below)]
    far = found[min(above)]
    why = (
        f"{rule.quantity} loses {near:.3g} at {max(below):g} and {far:.3g} at {min(above):g}; "
        f"sharply: {rule.times:g} times as much"
    )
    return reproduced_if(far > 0 and far >= rule.times * near, why)


def _values_of(rule: rules.Knee, run: RunEvidence) -> list[float]:
    """The values of the rule's option in the run's settings of its subject."""
    cells = run.plan.cells
    found = set()
    for cell in cells:
        value = cell.options.get(rule.option)
        if cell.method == rule.of.method and isinstance(value, int | float):
            found.add(value)
    return sorted(found)


def layer_range(rule: rules.LayerRange, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Which layers exceed the threshold, against the claimed range."""
    assert isinstance(claim.value, list)
    first, last = (int(place) for place in claim.value if isinstance(place, int))
    answers = []
    missing = []
    for subject in rule.of:
        layers = _layers(subject, run)
        if layers is None or run.plan.config.scale != SCALE:
            needs = f"scale {SCALE}, the layers of {name_of(subject, ledger)} probed"
            scale = run.plan.config.scale
            missing.append(
                str(Missing(needs, "none of them" if scale == SCALE else f"scale {scale}"))
            )
            continue
        own = [order for order, value in layers if value > rule.threshold]
        good = bool(own) and _near_range(own, first, last, rule.within)
        answers.append(Answer(good, f"{name_of(subject, ledger)}: layers {own}"))
    if not answers:
        return Verdict(ELSEWHERE, "; ".join(missing))
    reasons = [answer.why for answer in answers]
    reasons.append(f"{first} to {last} claimed (± {rule.within})")
    return Verdict(summary(answers), "; ".join([*reasons, *missing]))


def _layers(subject: rules.Subject, run: RunEvidence) -> list[tuple[int, float]] | None:
    """Order and value of every layer, as a training with the subject's options found them."""
    rows = run.first.layers_of(subject.method)
    rows = rows[rows["backbone"].eq(subject.backbone)]
    for text in rows["options"].unique():
        if subject.options.items() <= dict(json.loads(text)).items():
            own = rows[rows["options"].eq(text)]
            return list(zip(own["order"], own["value"], strict=True))
    return None


def _near_range(own: list[int], first: int, last: int, within: int) -> bool:
    whole = own == list(range(min(own), max(own) + 1))
    return whole and abs(min(own) - first) <= within and abs(max(own) - last) <= within


def recorded(rule: rules.Recorded, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """The mean of a fact that the method recorded in every scene, against a bound."""
    place = ledger.places[rule.place]
    needs = (
        f"scale {SCALE}, the fact {rule.fact} of {name_of(rule.of, ledger)} "
        f"at {place.frames:,} frames"
    )
    config = run.plan.config
    if config.scale != SCALE:
        return Verdict(ELSEWHERE, str(Missing(needs, f"scale {config.scale}")))
    values = _facts(rule, place.frames, run)
    if values is None or values.empty:
        declared = [fact.name for fact in METHODS.get(rule.of.method).facts]
        has = "no such record" if rule.fact in declared else "a method that does not record it"
        return Verdict(ELSEWHERE, str(Missing(needs, has)))
    mean = float(values.mean())
    low = -math.inf if rule.at_least is None else rule.at_least
    high = math.inf if rule.at_most is None else rule.at_most
    bound = f"at least {low:g}" if rule.at_most is None else f"at most {high:g}"
    why = f"{rule.fact} {mean:.4g} over {len(values)} scenes, {bound} claimed"
    return reproduced_if(low <= mean <= high, why)


def _facts(rule: rules.Recorded, frames: int, run: RunEvidence) -> pd.Series | None:
    """The fact by scene of the subject's own setting, at this frame count."""
    for e in run.by_frames:
        if e.frames != frames or rule.fact not in e.facts:
            continue
        same = e.facts["method"].eq(rule.of.method) & e.facts["backbone"].eq(rule.of.backbone)
        return pd.to_numeric(e.facts[same][rule.fact]).dropna()
    return None


def added_parameters(
    rule: rules.AddedParameters, claim: Claim, ledger: Ledger, run: RunEvidence
) -> Verdict:
    """What a method adds to its backbone's parameters; independent of frames and device."""
    reported = claim.value if isinstance(claim.value, list) else [claim.value]
    answers = []
    missing = []
    for case, share in zip(rule.cases, reported, strict=True):
        assert isinstance(share, int | float)
        own = _parameters(case.of, run)
        base = _parameters(case.over, run)
        if own is None or base is None:
            needs = f"scale {SCALE}, the parameters of {name_of(case.of, ledger)} and its backbone"
            scale = run.plan.config.scale
            missing.append(str(Missing(needs, f"scale {scale}" if scale != SCALE else "not both")))
            continue
        found = 100 * (own / base - 1)
        near = ledger.tolerances.ratio * share
        why = f"{name_of(case.of, ledger)}: {found:.3g} % here, {share:g} % reported (± {near:.2g})"
        answers.append(Answer(abs(found - share) <= near, why))
    if not answers:
        return Verdict(ELSEWHERE, "; ".join(missing))
    return Verdict(summary(answers), "; ".join([*(a.why for a in answers), *missing]))


def _parameters(subject: rules.Subject, run: RunEvidence) -> float | None:
    if run.plan.config.scale != SCALE:
        return None
    for row in run.first.costs:
        same = (row.method, row.backbone) == (subject.method, subject.backbone)
        if same and has_defaults(row.setting, subject.options) and math.isfinite(row.parameters):
            return row.parameters
    return None
