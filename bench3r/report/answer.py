"""The answer first: what a run found, in a few computed sentences and one small table."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from bench3r.metrics.statistics import MARKS_FROM
from bench3r.report.answer_facts import CD, NO_BETTER_WORDS, POSE, Facts
from bench3r.report.answer_table import answer_table
from bench3r.report.equal_cost import NO_CONTROL
from bench3r.report.evidence import RunEvidence, methods
from bench3r.report.growth import TIME, crossover_text, growths
from bench3r.report.missing import missing_table
from bench3r.report.names import listed, metric_words
from bench3r.report.tables import Table
from bench3r.report.words import BETTER, FEW, SAME, WITHIN_DAMAGE, WORSE

MOST = 3  # methods that a sentence gives numbers of
SLOPE = 2  # frame counts that make a length


class Answer(NamedTuple):
    """What stands on the first screen: three to five sentences, and a table of at most ROWS."""

    sentences: tuple[str, ...]
    table: Table


def answer_of(run: RunEvidence) -> Answer:
    """The answer that the records of ``run`` give, by its first frame count."""
    if not run.by_frames:
        empty = pd.DataFrame({"method": []})
        table = Table("answer", "Nothing was measured", "", empty, empty.copy())
        return Answer(("The run has no record yet.",), table)
    facts = Facts(run.first)
    sentences = [
        saving_sentence(facts),
        shallower_sentence(facts),
        trivial_sentence(facts),
        length_sentence(run),
        missing_sentence(run),
    ]
    return Answer(tuple(filter(None, sentences)), answer_table(facts))


def few_scenes(scenes: int) -> str:
    """What a number of scenes cannot tell; "" when it is enough."""
    if scenes >= MARKS_FROM:
        return ""
    noun = "scene" if scenes == 1 else "scenes"
    return f"{scenes} {noun} cannot tell one method from another ({MARKS_FROM} are needed)"


def saving_sentence(facts: Facts) -> str:
    """Which method saves time at what loss, by paired calls and paired scenes."""
    where = f"at {facts.e.frames:,} frames" if facts.e.frames else "on the listed frames"
    faster = facts.faster()
    own = [setting for setting in faster if setting not in facts.controls]
    if not facts.paired():
        text = f"**Time**: no method was timed in turn with its unchanged backbone {where}"
    elif not own:
        text = f"**Time**: no method is faster than its unchanged backbone {where}, by paired calls"
    else:
        texts = [f"{facts.name(s)} {facts.saved_time(s)}" for s in own[:MOST]]
        more = f"; {len(own) - MOST} more" if len(own) > MOST else ""
        saved = "; ".join(texts)
        how = "over the unchanged backbone, by paired calls, and the loss"
        text = f"**Time saved** {where} {how}: {saved}{more}"
    control = next((setting for setting in faster if setting in facts.controls), None)
    if control is not None:
        text += f". For comparison: {facts.name(control)} {facts.saved_time(control)}"
    cheapest = facts.cheapest()
    if cheapest is not None:
        text += f". Most FLOPs saved: {facts.name(cheapest)} {facts.saved_flops(cheapest)}"
    few = few_scenes(facts.scenes)
    return f"{text}. {few}." if few else f"{text}."


def shallower_sentence(facts: Facts) -> str:
    """Who is no better than a plainly shallower model of the same FLOPs."""
    if not facts.controls:
        return ""
    groups: dict[str, list[str]] = {}
    for setting in facts.plugins:
        groups.setdefault(facts.cost_word(setting), []).append(facts.name(setting))
    what = f"a plainly shallower model of the same FLOPs ({metric_words(CD)})"
    if FEW in groups:
        return f"**Against {what}**: {few_scenes(facts.scenes)}."
    no_better = [*groups.get(SAME, []), *groups.get(WORSE, [])]
    texts = []
    if no_better:
        texts.append(f"**No better than {what}**: {listed(no_better)}")
    if BETTER in groups:
        texts.append(f"**Better than {what}**: {listed(groups[BETTER])}")
    if WITHIN_DAMAGE in groups:
        texts.append(
            f"Better, but not beyond what that model lost by its own fine-tuning"
            f"{facts.damage_text()}: {listed(groups[WITHIN_DAMAGE])}"
        )
    if not texts:
        return f"**Against {what}**: no method has the cost of one."
    if NO_CONTROL in groups:
        texts.append(f"There is none of the cost of {listed(groups[NO_CONTROL])}")
    return f"{'. '.join(texts)}."


def trivial_sentence(facts: Facts) -> str:
    """Who is no better than the trivial control."""
    if facts.trivial is None:
        return ""
    parts = []
    told = []
    for column in (CD, POSE):
        words = facts.trivial_words(column)
        if not words:
            continue
        told.append(metric_words(column))
        losers = [facts.name(s) for s, word in words.items() if word == NO_BETTER_WORDS]
        if losers:
            parts.append(f"{listed(losers)} in {metric_words(column)}")
    if not told:
        return ""
    head = "**Against the trivial control** (median depth, no motion)"
    few = few_scenes(facts.scenes)
    if few:
        return f"{head}: {few}."
    if not parts:
        return f"{head}: every method is better, in {listed(told)}."
    return f"{head}, no better: {'; '.join(parts)}. All others are better in {listed(told)}."


def length_sentence(run: RunEvidence) -> str:
    """From which number of frames on attention methods take less time."""
    known = attention_methods()
    costs = [cost for cost in run.first.costs if cost.ok and cost.ratio is not None]
    own = [cost for cost in costs if cost.method in known]
    if not own:
        return ""
    frames = sorted({cost.frames for cost in own})
    if len(frames) < SLOPE:
        return (
            "**Length**: from how many frames on an attention method pays cannot be told, times "
            f"are of {frames[0]:,} frames alone (`config/scaling.yaml` measures several)."
        )
    texts = []
    for growth in growths(own):
        crossing = growth.crossovers[TIME]
        if crossing.pays:
            texts.append(f"{growth.name} from {crossover_text(crossing, frames[0])} frames on")
        else:
            texts.append(f"{growth.name} not up to {int(max(growth.frames)):,}")
    return f"**Less time than the unchanged backbone**, by paired calls: {'; '.join(texts)}."


def attention_methods() -> set[str]:
    """Plug-ins that change attention alone."""
    return {name for name, method in methods().items() if method.hooks == ("attention",)}


def missing_sentence(run: RunEvidence) -> str:
    """How much is missing, and where the reasons stand."""
    rows = len(missing_table(run).raw)
    if not rows:
        return ""
    noun = "entry" if rows == 1 else "entries"
    return f"**Missing**: {rows} {noun}, each with its reason under Missing results."
