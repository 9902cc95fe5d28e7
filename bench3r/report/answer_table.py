"""The one small table of the first screen: what a few methods save and lose."""

from __future__ import annotations

import math

import pandas as pd

from bench3r.report.answer_facts import CD, POSE, Facts
from bench3r.report.captions import caption_of
from bench3r.report.columns import Column, by_interval, without_signed_zero
from bench3r.report.cost_columns import MEMORY, memory_text
from bench3r.report.figures.pareto import front
from bench3r.report.settings import SETTING, Setting
from bench3r.report.summary import interval, weights_of
from bench3r.report.tables import MISSING, Table, number
from bench3r.report.time_columns import RATIO, ratio_text

NAME = "answer"
TITLE = "What each method saves and what it loses"
ROWS = 8  # at most


def answer_table(facts: Facts) -> Table:
    """The unchanged backbones, and the plug-ins that are worth a look."""
    chosen = rows_of(facts)
    shown = pd.DataFrame({"method": [facts.name(setting) for setting in chosen]})
    raw = pd.DataFrame(chosen, columns=SETTING)
    for column in (POSE, CD):
        _add_quality(facts, column, chosen, shown, raw)
    costs = [facts.e.cost_of(setting) for setting in chosen]
    shown[RATIO] = [ratio_text(None if cost is None else cost.ratio) for cost in costs]
    shown["FLOPs (G)"] = [_flops_text(facts, setting) for setting in chosen]
    shown[MEMORY] = [memory_text(cost) for cost in costs]
    words = {column: facts.trivial_words(column) for column in (CD, POSE)}
    shown["against trivial"] = [_trivial_text(words, setting) for setting in chosen]
    shown["against equal cost"] = [facts.cost_word(setting) for setting in chosen]
    raw["time_ratio"] = [cost.ratio.value if cost and cost.ratio else math.nan for cost in costs]
    raw["flops_per_scene"] = [facts.flops(setting) for setting in chosen]
    raw["flop_saving"] = [facts.flop_saving(setting) for setting in chosen]
    raw["peak_bytes"] = [cost.peak_bytes if cost else math.nan for cost in costs]
    caption = caption_of(facts.e, facts.rows, (POSE, CD))
    return Table(NAME, TITLE, caption, shown, raw, _notes(facts, chosen))


def rows_of(facts: Facts) -> list[Setting]:
    """The settings of the table: unchanged backbones, then those that no other one beats.

    In planned order: one setting of a method, that with the best mean. First those on the front of
    quality and FLOPs, then those that lose least, until there are ROWS.
    """
    dense = [setting for setting in facts.settings if setting.kind == "backbone"]
    means = facts.values(CD).mean()
    best: dict[tuple[str, str], Setting] = {}
    for setting in facts.plugins:
        key = (setting.method, setting.backbone)
        mean = _mean(means, setting)
        if key not in best or mean < _mean(means, best[key]):
            best[key] = setting
    plugins = list(best.values())
    points = {(facts.flops(s), _mean(means, s)): s for s in plugins}
    on_front = [points[point] for point in front(_known(points), CD.better)]
    others = sorted(plugins, key=lambda s: _mean(means, s))
    wanted = list(dict.fromkeys([*dense, *on_front, *others]))[:ROWS]
    return [setting for setting in facts.settings if setting in wanted]


def _known(points: dict[tuple[float, float], Setting]) -> list[tuple[float, float]]:
    return [point for point in points if all(map(math.isfinite, point))]


def _mean(means: pd.Series, setting: Setting) -> float:
    """The mean of ``setting``; infinite where it has none."""
    value = float(means[setting]) if setting in means.index else math.nan
    return value if math.isfinite(value) else math.inf


def _add_quality(
    facts: Facts, column: Column, chosen: list[Setting], shown: pd.DataFrame, raw: pd.DataFrame
) -> None:
    """Means of ``column`` with their intervals."""
    values = facts.values(column)
    weights = weights_of(facts.rows, column)
    texts = []
    numbers = []
    for setting in chosen:
        found = interval(values[setting], weights) if setting in values.columns else None
        if found is None:
            texts.append(MISSING)
            numbers.append(math.nan)
            continue
        texts.append(by_interval(found.mean, found.low, found.high, column.digits))
        numbers.append(found.mean)
    shown[column.title] = texts
    raw[f"{column.key}/mean"] = numbers


def _flops_text(facts: Facts, setting: Setting) -> str:
    """GFLOPs, and their change against the unchanged backbone."""
    flops = facts.flops(setting)
    text = number(flops / 1e9, ".2f")
    saving = facts.flop_saving(setting)
    return f"{text} ({without_signed_zero(f'{-saving:+.1%}')})" if math.isfinite(saving) else text


def _trivial_text(words: dict[Column, dict[Setting, str]], setting: Setting) -> str:
    """Verdicts in CD and pose, in one word where they are the same."""
    texts = [words[column].get(setting, MISSING) for column in (CD, POSE)]
    return texts[0] if texts[0] == texts[1] else f"CD {texts[0]}, AUC {texts[1]}"


def _notes(facts: Facts, chosen: list[Setting]) -> list[str]:
    left = len([s for s in facts.settings if not s.is_control]) - len(chosen)
    notes = [
        f"{RATIO}: median ratio of calls taken in turn with the unchanged backbone, 95 % interval. "
        "FLOPs of the compared scenes, in brackets against the unchanged backbone; memory: peak, "
        "in brackets what of it is above the process's own.",
        "against trivial: CD and AUC@30 against a control that knows nothing of the scene; against "
        "equal cost: CD against a plainly shallower, fine-tuned model of the same FLOPs (beyond "
        "its damage: also once what that model lost by its fine-tuning is taken off, scene by "
        "scene).",
    ]
    if left > 0:
        notes.append(
            "Shown: the unchanged backbone, one setting of each method that no other one beats in "
            f"both CD and FLOPs, then those with the best CD; {left} more under Methods compared."
        )
    return notes
