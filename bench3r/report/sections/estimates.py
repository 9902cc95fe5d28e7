"""Estimated latency at published size, on devices that nobody here has."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pandas as pd

from bench3r.api.cost import Cost
from bench3r.api.errors import Bench3RError
from bench3r.measure.roofline import BYTES, TYPICAL, Device, devices, floor_seconds, traffic
from bench3r.models.catalogue import unchanged_cost
from bench3r.report.evidence import RunEvidence
from bench3r.report.published import PUBLISHED_SCALE, Count, published_counts
from bench3r.report.section import Section
from bench3r.report.tables import MISSING, Table

DEVICES = ("A100-80GB", "H100", "H200", "H20", "RTX4090")
FRAMES = (100, 1000)
COLUMNS = (  # of raw rows: what was counted, and what follows
    "method",
    "label",
    "kind",
    "backbone",
    "frames",
    "flops",
    "device",
    "precision",
    "efficiency",
    "seconds_estimated",
)


def estimate_tables(run: RunEvidence) -> Iterator[Table]:
    """The same for every run: it stands on the sizes of models and devices."""
    table = estimates()
    if table is not None:
        yield table


@cache
def parameters_by_part(backbone: str, scale: str) -> dict[str, int]:
    """Parameters of the unchanged network by part, from a model without storage."""
    from bench3r.measure.flops import parameter_parts
    from bench3r.measure.sizes import sizes_only
    from bench3r.models.backbones import build_backbone

    with sizes_only():
        return parameter_parts(build_backbone(backbone, scale))


def estimate(count: Count, device: Device, precision: str, efficiency: float) -> float:
    """Seconds that the counted work takes on ``device``.

    Raises Bench3RError where the device has no rate for ``precision``.
    """
    parts = {part: flops / 2 for part, flops in count.parts.items()}
    dense = unchanged_cost(count.backbone, count.scale, count.frames)
    weights: dict[str, float] = {}
    for part, parameters in parameters_by_part(count.backbone, count.scale).items():
        weights[part] = float(parameters * BYTES[precision])
    moved = weights
    if count.kind != "model":
        moved = traffic(dense, Cost(parts), weights, precision)
    flops = {part: 2 * max(0.0, macs) for part, macs in parts.items()}
    bandwidth = device.bandwidth_tb * 1e12
    return floor_seconds(flops, moved, device.rate(precision), bandwidth) / efficiency


def estimates(scale: str = PUBLISHED_SCALE, precision: str = "bf16") -> Table | None:
    """Estimated latency at ``scale`` on the shown devices; None when no backbone has that scale."""
    try:
        counts = published_counts(scale, FRAMES)
    except Bench3RError:
        return None
    raw = []
    shown: dict[tuple[str, str], dict[str, str]] = {}
    for count in counts:
        if count.reason:
            continue
        row = shown.setdefault(count.key, {"method": f"{count.label}{count.on}"})
        for name in DEVICES:
            device = devices()[name]
            seconds = estimate(count, device, precision, TYPICAL)
            row[f"{device.label}, {count.frames:,} frames (s)"] = f"{seconds:.3g}"
            numbers = {"device": name, "precision": precision, "efficiency": TYPICAL}
            raw.append({**count.row(), **numbers, "seconds_estimated": seconds})
    source = "the sizes of the models and bench3r/measure/devices.yaml"
    return Table(
        name=f"estimated_latency_{scale}",
        title="Estimated latency on devices that were not measured",
        caption=f"Computed by Bench3R at scale `{scale}` from {source}.",
        shown=pd.DataFrame(shown.values()).fillna(MISSING),
        raw=pd.DataFrame(raw, columns=list(COLUMNS)),
        notes=_notes(precision),
    )


def _notes(precision: str) -> list[str]:
    return [
        "ESTIMATED, not measured: counted FLOPs and bytes over the devices' published ceilings "
        f"({precision}), divided by an assumed efficiency of {TYPICAL:.0%}. Whether an "
        "attention pattern reaches that is exactly what an estimate cannot say; sparse and "
        "merging methods usually stay below it.",
        "Memory is not checked: a cell may not fit its device. Matching and alignment of "
        "pairwise models are left out.",
    ]


SECTION = Section("estimates", 240, "published", run_tables=estimate_tables)
