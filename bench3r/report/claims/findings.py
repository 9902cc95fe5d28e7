"""Verdicts on what papers found out, from records under their own conditions.

Which setting is better, where an option goes too far, which layers matter, what a method records.
"""

from __future__ import annotations

import json
import math

import pandas as pd

from bench3r.api.method import METHODS
from bench3r.metrics.statistics import MARKS_FROM, Interval
from bench3r.report.claims import rules
from bench3r.report.claims.conditions import SCALE, Missing, name_of
from bench3r.report.claims.decide import EXCLUDES, Bounds, difference, mean_within, sign
from bench3r.report.claims.directions import noise_of
from bench3r.report.claims.here import has_defaults
from bench3r.report.claims.ledger import Claim, Ledger
from bench3r.report.claims.lookup import find, scores_of
from bench3r.report.claims.reproduction import Answer, verdict_of
from bench3r.report.claims.verdict import (
    CONTRADICTED,
    ELSEWHERE,
    REPRODUCED,
    UNDECIDED,
    Verdict,
    elsewhere,
)
from bench3r.report.columns import by_interval, column_of
from bench3r.report.costs import CostRow
from bench3r.report.evidence import Evidence, RunEvidence
from bench3r.run import paths

ORDERINGS = "orderings under the papers' conditions"


def ordering(rule: rules.Ordering, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Whether one setting is better than another over the scenes that both have."""
    case = rule.case
    number = rules.Measurement(place=case.place, quantity=case.quantity)
    records: list[str] = []
    for subject in (case.of, case.over):
        found = find(number, subject, ledger, run)
        if isinstance(found, Missing):
            return elsewhere(str(found))
        records += found.records
    column = column_of(case.quantity)
    first = scores_of(number, case.of, ledger, run)
    second = scores_of(number, case.over, ledger, run)
    delta = difference(first, second)
    if delta is None:
        return elsewhere("two scenes with both")
    word = UNDECIDED
    noise = noise_of(column, second)
    direction = sign(delta, noise)
    if direction:
        better = (direction < 0) == (column.better == "lower")
        word = REPRODUCED if better else CONTRADICTED
    names = f"{name_of(case.of, ledger)} minus {name_of(case.over, ledger)}"
    return Verdict(
        word,
        found=f"{column.title}, {names}: {_text(delta)}",
        test="paired difference over scenes",
        threshold=f"{EXCLUDES}, beyond the noise of {noise:.2g}",
        n=delta.n,
        records=tuple(dict.fromkeys(records)),
        family=ORDERINGS,
        comparison=f"{case.place}: {case.quantity}: {names}",
        p=delta.p,
    )


def _text(found: Interval) -> str:
    return by_interval(found.mean, found.low, found.high, 4, signed=True)


def knee(rule: rules.Knee, claim: Claim, ledger: Ledger, run: RunEvidence) -> Verdict:
    """Whether the error grows sharply beyond a value of an option.

    By scenes: what the first value beyond loses, minus ``times`` what the last up to it loses.
    """
    number = rules.Measurement(place=rule.place, quantity=rule.quantity)
    dense = find(number, rule.over, ledger, run)
    if isinstance(dense, Missing):
        return elsewhere(str(dense))
    found: dict[float, pd.Series] = {}
    records = list(dense.records)
    for value in _values_of(rule, run):
        subject = _with(rule, value)
        one = find(number, subject, ledger, run)
        if not isinstance(one, Missing):
            found[value] = scores_of(number, subject, ledger, run)
            records += one.records
    below = [value for value in found if value <= rule.at]
    above = [value for value in found if value > rule.at]
    if not below or not above:
        asked = f"{name_of(rule.of, ledger)} with {rule.option} on both sides of {rule.at:g}"
        has = ", ".join(f"{value:g}" for value in sorted(found)) or "no value"
        return elsewhere(str(Missing(asked, (has,))))
    plain = scores_of(number, rule.over, ledger, run)
    lost = {value: found[value] - plain for value in (max(below), min(above))}
    return _sharply(rule, lost, tuple(records))


def _sharply(rule: rules.Knee, lost: dict[float, pd.Series], records: tuple[str, ...]) -> Verdict:
    """The verdict on what the last value up to the knee and the first beyond it lose by scene."""
    (near, at_near), (far, at_far) = lost.items()
    least = at_near.clip(lower=0)
    excess = difference(at_far.dropna(), rule.times * least.dropna())
    if excess is None:
        return elsewhere("two scenes with all values")
    direction = sign(excess)
    word = UNDECIDED
    if direction:
        word = REPRODUCED if direction > 0 else CONTRADICTED
    return Verdict(
        word,
        found=f"{rule.quantity} loses {at_near.mean():.3g} at {near:g} and {at_far.mean():.3g} at "
        f"{far:g}; the second minus {rule.times:g} times the first: {_text(excess)}",
        test="paired difference over scenes",
        threshold=f"sharply: {rule.times:g} times as much (ours); {EXCLUDES}",
        n=excess.n,
        records=tuple(dict.fromkeys(records)),
    )


def _with(rule: rules.Knee, value: float) -> rules.Subject:
    """The rule's subject at one value of its option."""
    return rule.of.model_copy(update={"options": {**rule.of.options, rule.option: value}})


def _values_of(rule: rules.Knee, run: RunEvidence) -> list[float]:
    """The values of the rule's option in the run's settings of its subject."""
    found = set()
    for cell in run.plan.cells:
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
        name = name_of(subject, ledger)
        layers = _layers(subject, run.first)
        if layers is None or run.plan.config.scale != SCALE:
            needs = f"scale {SCALE}, the layers of {name} probed"
            scale = run.plan.config.scale
            has = "none of them" if scale == SCALE else f"scale {scale}"
            missing.append(("layers", Missing(needs, (has,))))
            continue
        training, values = layers
        own = [order for order, value in enumerate(values) if value > rule.threshold]
        good = bool(own) and _near_range(own, first, last, rule.within)
        file = str(paths.trained(run.plan.name, training).with_suffix(".json"))
        answers.append(Answer(good, f"{name}: layers {own}", (file,)))
    if not answers:
        return elsewhere("; ".join(str(one) for _, one in missing))
    threshold = f"above {rule.threshold:g} in layers {first} to {last} alone (± {rule.within})"
    return verdict_of(answers, missing, "probe of every layer, one for each backbone", threshold)


def _layers(subject: rules.Subject, e: Evidence) -> tuple[str, list[float]] | None:
    """A training with the subject's options, and the value of every layer that it found."""
    rows = e.trainings[e.trainings["layers"].notna()]
    same = rows["method"].eq(subject.method) & rows["backbone"].eq(subject.backbone)
    for _, row in rows[same].iterrows():
        if subject.options.items() <= dict(json.loads(row["options"])).items():
            return str(row["training"]), [float(value) for value in row["layers"].values()]
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
        return elsewhere(str(Missing(needs, (f"scale {config.scale}",))))
    rows = _rows_with(rule, place.frames, run)
    if rows is None or rows.empty:
        declared = [fact.name for fact in METHODS.get(rule.of.method).facts]
        has = "no such record" if rule.fact in declared else "a method that does not record it"
        return elsewhere(str(Missing(needs, (has,))))
    low = -math.inf if rule.at_least is None else float(rule.at_least)
    high = math.inf if rule.at_most is None else float(rule.at_most)
    found, good = mean_within(pd.to_numeric(rows[rule.fact]), Bounds(low, high))
    bound = f"at least {low:g}" if rule.at_most is None else f"at most {high:g}"
    files = [str(paths.predicted(run.plan.name, cell)) for cell in rows["cell"].dropna().unique()]
    return Verdict(
        {True: REPRODUCED, False: CONTRADICTED, None: UNDECIDED}[good],
        found=f"{rule.fact} {by_interval(found.mean, found.low, found.high)}",
        test="mean over scenes",
        threshold=f"95 % interval {bound}, n ≥ {MARKS_FROM}",
        n=found.n,
        records=tuple(files),
    )


def _rows_with(rule: rules.Recorded, frames: int, run: RunEvidence) -> pd.DataFrame | None:
    """Facts of the subject's own setting at this frame count, where the fact was recorded."""
    for e in run.by_frames:
        if e.frames != frames or rule.fact not in e.facts:
            continue
        same = e.facts["method"].eq(rule.of.method) & e.facts["backbone"].eq(rule.of.backbone)
        return e.facts[same & e.facts[rule.fact].notna()]
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
            has = f"scale {scale}" if scale != SCALE else "not both"
            missing.append(("parameters", Missing(needs, (has,))))
            continue
        found = 100 * (own.parameters / base.parameters - 1)
        near = ledger.tolerances.ratio * share
        why = f"{name_of(case.of, ledger)}: {found:.3g} % here, {share:g} % reported (± {near:.2g})"
        files = [str(paths.profiled(run.plan.name, row.cell)) for row in (own, base) if row.cell]
        answers.append(Answer(abs(found - share) <= near, why, tuple(files)))
    if not answers:
        return Verdict(ELSEWHERE, missing="; ".join(str(one) for _, one in missing))
    threshold = f"the reported share ± {ledger.tolerances.ratio:.0%}"
    return verdict_of(answers, missing, "parameters counted", threshold)


def _parameters(subject: rules.Subject, run: RunEvidence) -> CostRow | None:
    if run.plan.config.scale != SCALE:
        return None
    for row in run.first.costs:
        same = (row.method, row.backbone) == (subject.method, subject.backbone)
        if same and has_defaults(row.setting, subject.options) and math.isfinite(row.parameters):
            return row
    return None
