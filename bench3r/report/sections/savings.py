"""What adaptive depth saves: counted, predicted from the depths, by rule of thumb, and in time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from bench3r.models.catalogue import label_of_network, reference_backbone
from bench3r.report.evidence import Evidence, methods, settings_of
from bench3r.report.names import name_of
from bench3r.report.section import Section
from bench3r.report.tables import Table, number

HEADS = {  # raw column -> head and format
    "f": ("f", ".2f"),
    "m": ("m", ".2f"),
    "K": ("K", ".0f"),
    "counted_saving": ("FLOPs saved, counted", ".1%"),
    "predicted_saving": ("predicted from depths", ".1%"),
    "rule_saving": ("f (1 - m / K)", ".1%"),
    "time_saving": ("time saved", ".1%"),
}


def savings_table(e: Evidence) -> Iterator[Table]:
    """Every setting of methods that adapt their depth."""
    adaptive = [name for name, method in methods().items() if method.adapts_depth]
    rows = e.everywhere()
    rows = rows[rows["method"].isin(adaptive)]
    listed = []
    for setting in settings_of(rows):
        if e.facts_of(setting).empty:
            continue
        row: dict[str, object] = {"method": name_of(setting, rows)}
        for fact in HEADS:
            if fact != "time_saving":
                row[fact] = e.mean_fact(setting, fact)
        cost = e.profile_of(setting)
        row["time_saving"] = math.nan if cost is None else cost.time_saving
        listed.append(row)
    if not listed:
        return
    raw = pd.DataFrame(listed)
    shown = pd.DataFrame({"method": raw["method"]})
    for column, (head, form) in HEADS.items():
        shown[head] = [number(value, form) for value in raw[column]]
    reference = label_of_network(reference_backbone())
    note = (
        f"f: share of {reference}'s FLOPs in the part that recursion replaces, m: mean recursion "
        f"depth, K: recursions of equal cost. Means over scenes; time saved over {reference} in "
        f"{e.baseline()}, from the profile stage, where both take turns in one process."
    )
    if any(cost.reference_shared for cost in e.measured()):
        note += f" At so many frames {reference} was timed once, in a process of its own."
    title = "What adaptive depth saves"
    yield Table(f"savings{e.suffix}", title, e.about, shown, raw, [note])


SECTION = Section("savings", 100, "depth", frame_tables=savings_table)
