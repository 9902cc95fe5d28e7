"""What adaptive depth saves: counted, predicted from the depths, by rule of thumb, and in time."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench3r.models.catalogue import label_of_network, reference_backbone
from bench3r.report.captions import caption_of
from bench3r.report.evidence import Evidence, methods
from bench3r.report.names import name_of
from bench3r.report.section import Section
from bench3r.report.settings import settings_of
from bench3r.report.tables import Table, number
from bench3r.report.time_columns import ratio_numbers, saved_note, saved_text

HEADS = {  # raw column -> head and format
    "f": ("f", ".2f"),
    "m": ("m", ".2f"),
    "K": ("K", ".0f"),
    "counted_saving": ("FLOPs saved, counted", ".1%"),
    "predicted_saving": ("predicted from depths", ".1%"),
    "rule_saving": ("f (1 - m / K)", ".1%"),
}


def savings_table(e: Evidence) -> Iterator[Table]:
    """Every setting of methods that adapt their depth."""
    adaptive = [name for name, method in methods().items() if method.adapts_depth]
    rows = e.everywhere()
    rows = rows[rows["method"].isin(adaptive)]
    listed = []
    saved = []
    costs = []
    for setting in settings_of(rows):
        if e.facts_of(setting).empty:
            continue
        row: dict[str, object] = {"method": name_of(setting, rows)}
        for fact in HEADS:
            row[fact] = e.mean_fact(setting, fact)
        ratio = e.time_ratio(setting)
        costs += [cost for cost in [e.profile_of(setting)] if cost is not None]
        listed.append(row | ratio_numbers(ratio))
        saved.append(saved_text(ratio))
    if not listed:
        return
    raw = pd.DataFrame(listed)
    shown = pd.DataFrame({"method": raw["method"]})
    for column, (head, form) in HEADS.items():
        shown[head] = [number(value, form) for value in raw[column]]
    shown["time saved (%)"] = saved
    reference = label_of_network(reference_backbone())
    note = (
        f"f: share of {reference}'s FLOPs in the part that recursion replaces, m: mean recursion "
        f"depth, K: recursions of equal cost. Means over scenes. {saved_note(e, costs)}"
    )
    title = "What adaptive depth saves"
    yield Table(f"savings{e.suffix}", title, caption_of(e, rows), shown, raw, [note])


SECTION = Section("savings", 100, "depth", frame_tables=savings_table)
