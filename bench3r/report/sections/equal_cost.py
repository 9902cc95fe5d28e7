"""Every method against a plainly shallower model of the same cost."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench3r.metrics.statistics import MARKS_FROM
from bench3r.report.captions import caption_of
from bench3r.report.columns import QUALITY, Column, by_interval
from bench3r.report.equal_cost import NO_CONTROL, TOLERANCE, Against, EqualCosts
from bench3r.report.evidence import Evidence
from bench3r.report.names import metric_words
from bench3r.report.section import Section
from bench3r.report.settings import Setting
from bench3r.report.tables import MISSING, Table
from bench3r.report.words import against_in_words

NOTE = (
    "Method minus the plainly shallower, fine-tuned backbone at the same counted FLOPs: one of its "
    f"settings within {TOLERANCE:.0%}, or linear between two of them; else there is "
    f'"{NO_CONTROL}". 95 % intervals over scenes, corrected for all methods of a column; "better" '
    f'and "worse" need at least {MARKS_FROM} scenes.'
)


def equal_cost_table(e: Evidence) -> Iterator[Table]:
    """Every plug-in against the control at the same FLOPs."""
    found = EqualCosts(e)
    if not found.controls or not found.compared:
        return
    columns = {column: found.against(column) for column in QUALITY}
    shown = []
    raw = []
    for setting in found.compared:
        head = {"method": found.name(setting)}
        flops = found.flops[setting]
        texts = head | {"FLOPs (G)": f"{flops / 1e9:.2f}", "control": _control(columns, setting)}
        numbers: dict[str, object] = {**setting._asdict(), "flops": flops}
        for column, against in columns.items():
            one = against.get(setting)
            texts[column.title] = MISSING if one is None else against_text(one, column)
            numbers |= _numbers(one, column)
        shown.append(texts)
        raw.append(numbers)
    title = "Does a method beat a plainly shallower model of the same cost?"
    caption = caption_of(e, found.rows, QUALITY)
    notes = [NOTE, *damage_notes(found), *answers(found, columns)]
    name = f"equal_cost{e.suffix}"
    yield Table(name, title, caption, pd.DataFrame(shown), pd.DataFrame(raw), notes)


def _control(columns: dict[Column, dict[Setting, Against]], setting: Setting) -> str:
    for against in columns.values():
        if setting in against:
            return against[setting].made_from
    return NO_CONTROL


def _numbers(one: Against | None, column: Column) -> dict[str, object]:
    if one is None:
        return {}
    d = one.difference.interval
    return {
        f"{column.key}/delta": d.mean,
        f"{column.key}/low": d.low,
        f"{column.key}/high": d.high,
        f"{column.key}/n": d.n,
        f"{column.key}/p": one.difference.p,
        f"{column.key}/verdict": against_in_words(one, column),
    }


def against_text(one: Against, column: Column) -> str:
    """The verdict with the difference behind it."""
    d = one.difference.interval
    difference = by_interval(d.mean, d.low, d.high, column.digits, signed=True)
    return f"{against_in_words(one, column)}: {difference}"


def damage_notes(found: EqualCosts) -> list[str]:
    """What fine-tuning did to the control itself, at the cost of the unchanged backbone."""
    notes = []
    for backbone in dict.fromkeys(setting.backbone for setting in found.controls):
        parts = []
        scenes = 0
        for column in QUALITY:
            damage = found.damage(column, backbone)
            if damage is not None:
                lost = damage.interval
                scenes = lost.n
                text = by_interval(lost.mean, lost.low, lost.high, column.digits, signed=True)
                parts.append(f"{metric_words(column)} {text}")
        if parts:
            notes.append(
                "The control's own damage, its full depth after fine-tuning minus the unchanged "
                f"backbone at the same FLOPs (n = {scenes}): {', '.join(parts)}. Methods that are "
                "not fine-tuned are compared with a control that is."
            )
    return notes


def answers(found: EqualCosts, columns: dict[Column, dict[Setting, Against]]) -> list[str]:
    """The question in words, one sentence per method."""
    out = []
    for setting in found.compared:
        by_verdict: dict[str, list[str]] = {}
        for column, against in columns.items():
            if setting in against:
                word = against_in_words(against[setting], column)
                by_verdict.setdefault(word, []).append(metric_words(column))
        parts = [f"{word} in {', '.join(metrics)}" for word, metrics in by_verdict.items()]
        text = "; ".join(parts) or NO_CONTROL
        out.append(f"**{found.name(setting)}** against a shallower backbone: {text}.")
    return out


SECTION = Section("equal_cost", 80, "depth", frame_tables=equal_cost_table)
