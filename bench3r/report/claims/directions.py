"""Verdicts on which setting is better or cheaper in a run, at its scale and on its data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from bench3r.metrics.statistics import Interval
from bench3r.models.catalogue import reference_backbone
from bench3r.protocols import metric_of
from bench3r.report.claims import here, rules_here
from bench3r.report.claims.decide import EXCLUDES, difference, ratio_sign, sign, sign_test
from bench3r.report.claims.ledger import Claim, Ledger
from bench3r.report.claims.verdict import (
    ELSEWHERE,
    IDLE,
    OTHER,
    SAME,
    UNDECIDED,
    Verdict,
    lacking,
)
from bench3r.report.columns import Column, by_interval, column_of
from bench3r.report.evidence import Evidence
from bench3r.report.settings import Setting
from bench3r.report.summary import weights_of

EQUAL_COUNT = 0.01  # counts of FLOPs are checked to this share


def direction(rule: rules_here.Direction, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Whether the method is better or worse than the reference here as it is in the paper."""
    assert isinstance(claim.value, int | float)
    own = float(claim.value)
    other = ledger.number(rule.against)
    if own == other:
        why = "the paper gives the same value for both: there is no direction to look for"
        return Verdict(ELSEWHERE, missing=why)
    choice = rules_here.Choice(method=rule.method, options=rule.options)
    first = here.setting_of(e, choice)
    second = here.reference_setting(e)
    if first is None or second is None:
        needed = choice if first is None else rules_here.Choice(method=reference_backbone())
        return lacking(f"{here.name_of_choice(needed)}: not in this run")
    if rule.metric == "time":
        found = _times(first, second, own < other, e)
    elif rule.metric == "flops":
        found = _flops(first, second, own < other, e)
    else:
        column = column_of(ledger.metrics[rule.metric])
        better = (own < other) == (column.better == "lower")
        family = f"{column.title} against {second.label}"
        found = scores_compared(column, (first, second), better, family, e)
    paper = f"in the paper {claim.value:g} against {other:g}"
    return replace(found, found=f"{found.found}; {paper}") if found.judged else found


def compared(rule: rules_here.Compared, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Whether the first choice is better than the second."""
    return _compared(rule, ledger, e, "options against each other")


def _compared(rule: rules_here.Compared, ledger: Ledger, e: Evidence, family: str) -> Verdict:
    settings = []
    for choice in (rule.first, rule.second):
        setting = here.setting_of(e, choice)
        if setting is None:
            return lacking(f"{here.name_of_choice(choice)}: not in this run")
        settings.append(setting)
    first, second = settings
    if rule.loss:
        idle = _without_effect(rule.loss, first, e)
        if idle is not None:
            return idle
    column = column_of(ledger.metrics[rule.metric])
    return scores_compared(column, (first, second), True, f"{family}, {column.title}", e)


def _without_effect(loss: str, setting: Setting, e: Evidence) -> Verdict | None:
    """The verdict where a term of the loss was zero in every step; None where it was not."""
    found = here.largest_loss(e, setting, loss)
    if found is None or found[0] > 0:
        return None
    name = here.name_of_setting(setting)
    return Verdict(
        IDLE,
        found=f"the term `{loss}` of the loss of {name} was 0 in all steps of its fine-tuning: "
        "without it the same is learned",
        test="largest value of the term in the training curve",
        threshold="above 0",
        n=found[1],
        unit="steps",
        missing="a training in which the term acts: more steps, or another start",
        records=here.predict_records(e, [setting]),
    )


def every(rule: rules_here.Every, claim: Claim, ledger: Ledger, e: Evidence) -> Verdict:
    """Whether all parts hold: each by its own test, and refuted by any that is refuted."""
    found = []
    for part in rule.parts:
        if isinstance(part, rules_here.Level):
            found.append(level(part, ledger, e))
        else:
            found.append(_compared(part, ledger, e, ""))
    return together(found)


def together(parts: list[Verdict]) -> Verdict:
    """One verdict on several parts of a claim."""
    words = [part.verdict for part in parts]
    word = SAME if all(w == SAME for w in words) else UNDECIDED
    open_parts = [part for part in parts if not part.judged]
    if OTHER in words:
        word = OTHER
    elif open_parts:
        return open_parts[0]
    counts = [part.n for part in parts if part.n is not None]
    return Verdict(
        word,
        found=_joined(part.found for part in parts),
        test=_joined(part.test for part in parts),
        threshold=_joined(part.threshold for part in parts),
        n=min(counts) if counts else None,
        missing=_joined(part.missing for part in parts),
        records=tuple(dict.fromkeys(name for part in parts for name in part.records)),
    )


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


def level(rule: rules_here.Level, ledger: Ledger, e: Evidence) -> Verdict:
    """Whether the mean of a metric over scenes is above a number."""
    setting = here.setting_of(e, rule.of)
    if setting is None:
        return lacking(f"{here.name_of_choice(rule.of)}: not in this run")
    column = column_of(ledger.metrics[rule.metric])
    values = here.scores(e, column, setting)
    found = difference(values, pd.Series(float(rule.above), index=values.index))
    if found is None:
        return lacking(f"{column.title} of {here.name_of_setting(setting)} in two scenes or more")
    at = found._replace(
        mean=found.mean + rule.above, low=found.low + rule.above, high=found.high + rule.above
    )
    return Verdict(
        {1: SAME, -1: OTHER, 0: UNDECIDED}[sign(found)],
        found=f"{column.title} of {here.name_of_setting(setting)}: {_text(at, column)}",
        test="mean over scenes",
        threshold=f"95 % interval above {rule.above:g}",
        n=found.n,
        records=here.score_records(e, [setting]),
    )


def scores_compared(
    column: Column, pair: tuple[Setting, Setting], better: bool, family: str, e: Evidence
) -> Verdict:
    """Whether the first of two settings is better than the second, or worse (not ``better``)."""
    first, second = (here.scores(e, column, setting) for setting in pair)
    weights = weights_of(e.table, column)
    found = difference(first, second, weights)
    if found is None:
        return lacking(f"{column.title} of both in two scenes or more")
    names = " minus ".join(map(here.name_of_setting, pair))
    noise = noise_of(column, second)
    direction = sign(found, noise)
    word = UNDECIDED
    if direction:
        is_better = (direction < 0) == (column.better == "lower")
        word = SAME if is_better == better else OTHER
    scenes = first.index.intersection(second.index)
    return Verdict(
        word,
        found=f"{column.title}, {names}: {_text(found, column, signed=True)}",
        test="paired difference over scenes",
        threshold=f"{EXCLUDES}, beyond the noise of {noise:.2g}",
        n=found.n,
        records=here.score_records(e, pair),
        family=family,
        comparison=names,
        p=found.p,
        differences=first[scenes] - second[scenes],
        weights=weights,
    )


def _text(found: Interval, column: Column, signed: bool = False) -> str:
    return by_interval(found.mean, found.low, found.high, column.digits, signed=signed)


def noise_of(column: Column, values: pd.Series) -> float:
    """What rounding alone may change a metric of ``values`` by."""
    return metric_of(column.protocol, column.metric).noise.at(float(values.mean()))


def _flops(first: Setting, second: Setting, fewer: bool, e: Evidence) -> Verdict:
    """Whether fewer FLOPs, or more, were counted in every scene, on the predictions' own input."""
    own = here.flops(e, first)
    reference = here.flops(e, second)
    scenes = own.index.intersection(reference.index)
    if not len(scenes):
        return lacking("FLOPs of both, counted on the same scenes")
    ratios = own[scenes] / reference[scenes]
    less = bool((ratios < 1 - EQUAL_COUNT).all())
    more = bool((ratios > 1 + EQUAL_COUNT).all())
    word = UNDECIDED
    if less or more:
        word = SAME if less == fewer else OTHER
    spread = f"{ratios.min():.3f} to {ratios.max():.3f}"
    mean = own[scenes].mean() / reference[scenes].mean()
    names = f"{here.name_of_setting(first)} over {here.name_of_setting(second)}"
    return Verdict(
        word,
        found=f"FLOPs, {names}: {mean:.3f} ({spread})",
        test="FLOPs counted on the input of every prediction: no sampling",
        threshold="more than 1 % to one side in every scene",
        n=len(scenes),
        records=here.predict_records(e, (first, second)),
    )


def _times(first: Setting, second: Setting, faster: bool, e: Evidence) -> Verdict:
    """Whether calls taken in turn with the reference are faster, or slower."""
    cost = e.cost_of(first)
    found = e.time_ratio(first)
    names = f"{here.name_of_setting(first)} over {here.name_of_setting(second)}"
    if cost is None or not cost.ok:
        return lacking(f"the time of {here.name_of_setting(first)}: {e.why_unpaired(first)}")
    made = Verdict(
        UNDECIDED,
        found=f"time, {names}: not compared",
        test="paired ratio of calls taken in turn",
        threshold="95 % interval without 1, times that nothing makes doubtful",
        n=0,
        unit="pairs",
        records=here.profile_records(e, [first]),
    )
    if found is None:
        return replace(made, missing=f"calls in turn: {e.why_unpaired(first)}")
    side = ratio_sign(found)
    word = UNDECIDED
    if side and not found.suspect:
        word = SAME if (side < 0) == faster else OTHER
    text = by_interval(found.value, found.low, found.high)
    doubt = f" (suspect: {found.suspect})" if found.suspect else ""
    return replace(
        made,
        verdict=word,
        found=f"time, {names}: {text}{doubt}",
        n=found.n,
        family=f"times against {second.label}",
        comparison=names,
        p=sign_test(cost.seconds, cost.reference_seconds),
    )
