"""Roofline tables: estimates beside what was measured, and estimates for devices and sizes that nobody here has."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from bench3r.api.cost import Cost
from bench3r.api.errors import Bench3RError
from bench3r.measure.roofline import BYTES, TYPICAL, Device, devices, floor_seconds, traffic
from bench3r.models.catalogue import label_of_network, unchanged_cost
from bench3r.report.adaptive import Evidence
from bench3r.report.published import published_rows
from bench3r.report.summary import REFERENCE
from bench3r.report.tables import Table, label_of

SHOWN_DEVICES = ("A100-80GB", "H100", "H200", "H20", "RTX4090")
SHOWN_FRAMES = (100, 1000)


@cache
def parameters_by_part(backbone: str, scale: str) -> dict[str, int]:
    """Parameters of the unchanged backbone or network by part, from a model without storage."""
    import torch

    from bench3r.measure.flops import parameter_parts
    from bench3r.models.backbones import build_backbone

    with torch.device("meta"):
        return parameter_parts(build_backbone(backbone, scale))


def estimate(row: dict[str, Any], device: Device, precision: str, efficiency: float) -> float:
    """Seconds of a row of :func:`bench3r.report.published.published_rows` on ``device``."""
    parts = {
        k.removeprefix("flops/"): v / 2
        for k, v in row.items()
        if k.startswith("flops/") and np.isfinite(v)
    }
    dense = unchanged_cost(row["backbone"], row["scale"], row["frames"])
    weights = {
        p: float(n * BYTES[precision])
        for p, n in parameters_by_part(row["backbone"], row["scale"]).items()
    }
    moved = weights if row["kind"] == "model" else traffic(dense, Cost(parts), weights, precision)
    flops = {p: 2 * max(0.0, m) for p, m in parts.items()}
    return (
        floor_seconds(flops, moved, device.rate(precision), device.bandwidth_tb * 1e12) / efficiency
    )


def estimates(scale: str = "full", precision: str = "bf16") -> Table | None:
    """Estimated latency at ``scale`` on the shown devices; None when no backbone has that scale."""
    try:
        rows = [r for r in published_rows(scale, SHOWN_FRAMES) if not r["reason"]]
    except Bench3RError:
        return None
    kept = ("method", "label", "kind", "backbone", "frames", "flops")
    raw = pd.DataFrame(
        [
            {
                **{k: r[k] for k in kept},
                "device": name,
                "precision": precision,
                "efficiency": TYPICAL,
                "seconds_estimated": estimate(r, devices()[name], precision, TYPICAL),
            }
            for r in rows
            for name in SHOWN_DEVICES
        ]
    )
    shown = []
    for (_, backbone), own in raw.groupby(["method", "backbone"], sort=False):
        by = own.set_index(["frames", "device"])["seconds_estimated"]
        on = f" on {label_of_network(str(backbone))}" if own.iloc[0]["kind"] == "plugin" else ""
        columns = [(n, d) for n in SHOWN_FRAMES for d in SHOWN_DEVICES if (n, d) in by.index]
        cells = {
            f"{devices()[d].label}, {n:,} frames (s)": f"{by.loc[(n, d)]:.3g}" for n, d in columns
        }
        shown.append({"method": f"{own.iloc[0]['label']}{on}", **cells})
    notes = [
        f"ESTIMATED, not measured: counted FLOPs and bytes over the devices' published ceilings ({precision}), divided "
        f"by an assumed efficiency of {TYPICAL:.0%}. Whether an attention pattern reaches that is exactly what an estimate "
        "cannot say; sparse and merging methods usually stay below it.",
        "Memory is not checked: a cell may not fit its device. Matching and alignment of pairwise models are left out.",
    ]
    caption = f"Computed by Bench3R at scale `{scale}` from the sizes of the models and bench3r/measure/devices.yaml."
    title = "Estimated latency on devices that were not measured"
    return Table(
        f"estimated_latency_{scale}", title, caption, pd.DataFrame(shown).fillna("–"), raw, notes
    )


def roofline(e: Evidence) -> Table | None:
    """Measured latency beside its floor and beside what VGGT's efficiency predicts; None without measured ceilings."""
    rows = e.profiles
    if not len(rows) or "ceiling" not in rows:
        return None
    rows = rows[rows["status"].eq("ok") & rows["frames"].eq(e.frames) & rows["flops"].notna()]
    rows = rows[rows["ceiling"].map(lambda c: isinstance(c, dict) and bool(c)).astype(bool)]
    dense = rows[rows["method"].eq(REFERENCE)]
    if not len(dense):
        return None
    efficiency = _floor(dense.iloc[0]) / float(np.median(dense.iloc[0]["seconds"]))
    raw = []
    for _, row in rows.iterrows():
        measured, floor = float(np.median(row["seconds"])), _floor(row)
        raw.append(
            {
                "method": row["method"],
                "label": row["label"],
                "backbone": row["backbone"],
                "options": row["options"],
                "floor_s": floor,
                "estimated_s": floor / efficiency,
                "measured_s": measured,
                "error": floor / efficiency / measured - 1,
                "efficiency": floor / measured,
            }
        )
    table = pd.DataFrame(raw)
    shown = pd.DataFrame(
        {
            "method": [_name(row, table) for _, row in table.iterrows()],
            "floor (s)": table["floor_s"].map("{:.3g}".format),
            "estimated (s)": table["estimated_s"].map("{:.3g}".format),
            "measured (s)": table["measured_s"].map("{:.3g}".format),
            "error of the estimate": table["error"].map("{:+.0%}".format),
            "efficiency": table["efficiency"].map("{:.0%}".format),
        }
    )
    notes = [
        "Floor: counted FLOPs over the best rate of a matrix product that the same process measured. Estimated: the floor "
        "over VGGT's efficiency, so its error says how far a FLOP count alone misses the latency of a method here.",
        "Pairwise models: FLOPs are the network's, the measured time includes alignment.",
    ]
    return Table(
        f"roofline{e.suffix}", "What FLOPs alone would predict", e.about, shown, table, notes
    )


def _name(row: pd.Series, table: pd.DataFrame) -> str:
    """Label with the options that tell a row from others of its method, and its backbone where that is not the usual one."""
    same = table[(table["method"] == row["method"]) & (table["backbone"] == row["backbone"])][
        "options"
    ]
    name = label_of(
        row["method"], row["label"], json.loads(row["options"]), [json.loads(o) for o in same]
    )
    usual = row["backbone"] in (REFERENCE, row["method"])
    return name if usual else f"{name} on {label_of_network(row['backbone'])}"


def _floor(row: pd.Series) -> float:
    return float(row["flops"]) / float(row["ceiling"]["flops"])
