"""Table of pairwise models: what the network costs, what alignment costs, and both beside one pass of VGGT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench3r.models.catalogue import NETWORKS, backbones
from bench3r.report.adaptive import Evidence
from bench3r.report.reported import SPATIALMOR_SOURCE, SPATIALMOR_TABLE_2
from bench3r.report.summary import REFERENCE, settings
from bench3r.report.tables import Table, name_of, of_setting


def pairwise(e: Evidence) -> Table | None:
    """Network and alignment apart, for every model that times them apart; None when a run has none."""
    rows = e.rows_of("main")
    timed = {
        i: p
        for i, s in settings(rows).iterrows()
        if (p := _profile(e, s)) is not None and p["phase_seconds"]
    }
    if not timed:
        return None
    dense = _reference(e)
    shown, raw = [], []
    for index, cost in timed.items():
        setting = settings(rows).loc[index]
        facts = of_setting(e.facts, setting)
        raw.append(_numbers(setting, cost, facts, dense))
        shown.append(_row(name_of(setting, rows), raw[-1], facts))
        if str(setting["method"]) in SPATIALMOR_TABLE_2:
            shown.append(_reported(str(setting["method"]), str(setting["label"])))
    notes = [
        "One call with the machine to itself, medians. FLOPs are those of the network with every image encoded once; "
        "matching and alignment, whose cost is mostly not in multiply-adds, are left out of them as in the paper, and are "
        "in the time. Memory is the peak of the process in either phase.",
        "loss after / before: alignment loss of the last stage at its end over its start, mean over scenes; settled: scenes "
        "whose loss no longer moved.",
        f"Values in (parentheses) are reported, not measured by us: {SPATIALMOR_SOURCE}; ratios are of its own numbers.",
    ]
    title = "Pairwise models: network and alignment"
    return Table(
        f"pairwise{e.suffix}",
        title,
        e.about,
        pd.DataFrame(shown).fillna("–"),
        pd.DataFrame(raw),
        notes,
    )


def _numbers(
    setting: pd.Series, cost: pd.Series, facts: pd.DataFrame, dense: dict[str, float] | None
) -> dict[str, Any]:
    """One setting's numbers from its cost record, its scenes' facts and the reference's cost."""
    network, alignment = (
        float(np.median(cost["phase_seconds"][p])) for p in ("network", "alignment")
    )
    total, memory = float(np.median(cost["seconds"])), cost["phase_peak_bytes"]
    change = (
        facts["alignment_loss"] / facts["alignment_start_loss"]
        if len(facts)
        else pd.Series(dtype=float)
    )
    return {
        "method": setting["method"],
        "options": setting["options"],
        "edges": facts["edges"].iloc[0] if len(facts) else np.nan,
        "network_s": network,
        "alignment_s": alignment,
        "total_s": total,
        "flops": cost["flops"],
        "network_peak_bytes": memory["network"],
        "alignment_peak_bytes": memory["alignment"],
        "time_ratio": total / dense["seconds"] if dense else np.nan,
        "flops_ratio": cost["flops"] / dense["flops"] if dense else np.nan,
        "converged": int(facts["alignment_converged"].eq(True).sum()) if len(facts) else 0,
        "scenes": len(facts),
        "loss_change": float(change.mean()),
    }


def _row(name: str, numbers: dict[str, Any], facts: pd.DataFrame) -> dict[str, str]:
    """One setting as a reader sees it."""
    memory = (numbers[f"{p}_peak_bytes"] / 1e6 for p in ("network", "alignment"))
    return {
        "method": name,
        "graph": f"{facts['graph'].iloc[0]}, {numbers['edges']:.0f} pairs" if len(facts) else "–",
        **{f"{p} (s)": f"{numbers[f'{p}_s']:.3g}" for p in ("network", "alignment", "total")},
        "FLOPs of the network (G)": f"{numbers['flops'] / 1e9:.2f}",
        "peak memory, network / alignment (MB)": " / ".join(f"{m:.0f}" for m in memory),
        "time / VGGT": _ratio(numbers["time_ratio"]),
        "FLOPs / VGGT": _ratio(numbers["flops_ratio"]),
        "loss after / before": _ratio(numbers["loss_change"]),
        "settled": f"{numbers['converged']}/{numbers['scenes']}",
    }


def _reported(method: str, label: str) -> dict[str, str]:
    """The row of the paper's own numbers."""
    paper, vggt = SPATIALMOR_TABLE_2[method], SPATIALMOR_TABLE_2[REFERENCE]
    return {
        "method": f"{label}, reported by SpatialMoR",
        "total (s)": f"({paper['Time']:g})",
        "FLOPs of the network (G)": f"({paper['FLOPs']:g})",
        "time / VGGT": f"({paper['Time'] / vggt['Time']:.1f})",
        "FLOPs / VGGT": f"({paper['FLOPs'] / vggt['FLOPs']:.2f})",
    }


def ratio_notes(table: Table) -> list[str]:
    """Time and FLOPs of pairwise models over VGGT's in a main table that measured both, beside the paper's own ratios."""
    rows = table.raw.set_index("method")
    networks = NETWORKS.all().keys() - backbones().keys()
    if REFERENCE not in rows.index or "time_s" not in rows:
        return []
    dense, paper_dense, out = rows.loc[REFERENCE], SPATIALMOR_TABLE_2[REFERENCE], []
    for method, paper in SPATIALMOR_TABLE_2.items():
        if method not in networks or method not in rows.index:
            continue
        own = rows.loc[[method]].iloc[0]
        if not np.isfinite(own["time_s"] or np.nan) or not np.isfinite(dense["time_s"] or np.nan):
            continue
        out.append(
            f"{own['label']} took {own['time_s'] / dense['time_s']:.1f} times VGGT's time and "
            f"{own['flops'] / dense['flops']:.1f} times its FLOPs (reported: {paper['Time'] / paper_dense['Time']:.1f} and "
            f"{paper['FLOPs'] / paper_dense['FLOPs']:.2f}). Its time includes alignment, its FLOPs do not."
        )
    return out


def _ratio(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"


def _profile(e: Evidence, setting: pd.Series) -> pd.Series | None:
    """The cost record of a setting at this frame count, if it was measured."""
    if not len(e.profiles) or "phase_seconds" not in e.profiles:
        return None
    own = of_setting(e.profiles, setting)
    own = own[own["frames"].eq(e.frames) & own["status"].eq("ok")]
    return own.iloc[0] if len(own) else None


def _reference(e: Evidence) -> dict[str, float] | None:
    """Seconds and FLOPs of the unchanged VGGT at this frame count."""
    own = e.profiles[
        e.profiles["method"].eq(REFERENCE)
        & e.profiles["frames"].eq(e.frames)
        & e.profiles["status"].eq("ok")
    ]
    if not len(own):
        return None
    return {
        "seconds": float(np.median(own.iloc[0]["seconds"])),
        "flops": float(own.iloc[0]["flops"]),
    }
