"""Methods that time parts of their work: what each part costs, beside a pass of the reference."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench3r.api.presentation import PhaseTable, Reported
from bench3r.models.catalogue import label_of_network, reference_backbone
from bench3r.report.captions import cost_caption
from bench3r.report.evidence import CostRow, Evidence, Setting, declarations
from bench3r.report.fact_columns import fact_texts, fact_values
from bench3r.report.names import name_of
from bench3r.report.reported import all_reported, reported_row
from bench3r.report.section import Section
from bench3r.report.settings import settings_of
from bench3r.report.tables import MISSING, Table, number
from bench3r.report.time_columns import HOW, pairs_text, ratio_numbers, ratio_text


def phase_tables(e: Evidence) -> Iterator[Table]:
    """A table for each declaration, with all methods that share it."""
    users: dict[str, list[str]] = {}
    sections: dict[str, PhaseTable] = {}
    for method, section in declarations(PhaseTable):
        users.setdefault(section.file, []).append(method)
        sections[section.file] = section
    for file, section in sections.items():
        table = phase_table(e, section, users[file])
        if table is not None:
            yield table


def phase_table(e: Evidence, section: PhaseTable, users: list[str]) -> Table | None:
    """Every main setting of the methods ``users`` that timed its phases; None without any."""
    rows = e.rows_of("main")
    shown: list[dict[str, str]] = []
    raw: list[dict[str, object]] = []
    sources: list[str] = []
    for setting in settings_of(rows):
        cost = e.profile_of(setting)
        if setting.method not in users or cost is None or not cost.phase_seconds:
            continue
        raw.append(_numbers(e, section, setting, cost))
        shown.append({"method": name_of(setting, rows), **_texts(e, section, setting, cost)})
        for reported in all_reported():
            if setting.method in reported.rows:
                shown.append(_reported(section, setting, reported))
                sources.append(reported.source)
    if not raw:
        return None
    reference = label_of_network(reference_backbone())
    own = [e.profile_of(setting) for setting in settings_of(rows) if setting.method in users]
    measured = [cost for cost in own if cost is not None]
    notes = [*section.notes, f"Ratios are to {reference}; of time: {HOW}. {pairs_text(measured)}"]
    for source in dict.fromkeys(sources):
        notes.append(
            f"Values in (parentheses) are reported, not measured by us: {source}; "
            "ratios are of its own numbers."
        )
    table = pd.DataFrame(shown).fillna(MISSING)
    name = f"{section.file}{e.suffix}"
    caption = cost_caption(e, measured)
    return Table(name, section.title, caption, table, pd.DataFrame(raw), notes)


def _flops_ratio(e: Evidence, cost: CostRow) -> float:
    """FLOPs over those of the reference backbone; NaN where they were not counted."""
    dense = e.cost_of_method(reference_backbone())
    return math.nan if dense is None else cost.flops / dense.flops


def _numbers(
    e: Evidence, section: PhaseTable, setting: Setting, cost: CostRow
) -> dict[str, object]:
    """One setting's raw numbers."""
    row: dict[str, object] = {"method": setting.method, "options": setting.options}
    row |= fact_values(e, setting, section.before)
    for phase in section.phases:
        row[f"{phase}_s"] = float(np.median(cost.phase_seconds[phase]))
        row[f"{phase}_peak_bytes"] = cost.phase_peak_bytes[phase]
    row |= {"total_s": cost.median_seconds, "flops": cost.flops}
    row |= {"flops_ratio": _flops_ratio(e, cost), **ratio_numbers(cost.ratio)}
    row |= fact_values(e, setting, section.after)
    row["scenes"] = len(e.facts_of(setting))
    return row


def _texts(e: Evidence, section: PhaseTable, setting: Setting, cost: CostRow) -> dict[str, str]:
    """One setting as a reader sees it."""
    reference = label_of_network(reference_backbone())
    row = fact_texts(e, setting, section.before)
    for phase in section.phases:
        row[f"{phase} (s)"] = f"{np.median(cost.phase_seconds[phase]):.3g}"
    row["total (s)"] = f"{cost.median_seconds:.3g}"
    row[f"FLOPs of the {section.counted} (G)"] = f"{cost.flops / 1e9:.2f}"
    peaks = [f"{cost.phase_peak_bytes[phase] / 1e6:.0f}" for phase in section.phases]
    row[f"peak memory, {' / '.join(section.phases)} (MB)"] = " / ".join(peaks)
    row[f"time / {reference}"] = ratio_text(cost.ratio)
    row[f"FLOPs / {reference}"] = number(_flops_ratio(e, cost), ".2f")
    return row | fact_texts(e, setting, section.after)


def _reported(section: PhaseTable, setting: Setting, reported: Reported) -> dict[str, str]:
    """The row of the paper's own numbers."""
    reference = reference_backbone()
    label = label_of_network(reference)
    paper = reported.rows[setting.method]
    row = reported_row(setting.label, reported)
    row["total (s)"] = f"({paper['Time']:g})"
    row[f"FLOPs of the {section.counted} (G)"] = f"({paper['FLOPs']:g})"
    if reference in reported.rows:
        dense = reported.rows[reference]
        row[f"time / {label}"] = f"({paper['Time'] / dense['Time']:.1f})"
        row[f"FLOPs / {label}"] = f"({paper['FLOPs'] / dense['FLOPs']:.2f})"
    return row


SECTION = Section("phases", 30, "methods", frame_tables=phase_tables)
