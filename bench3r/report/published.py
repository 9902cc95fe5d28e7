"""Table of FLOPs at published size over frame counts: the one result at that size that needs no GPU and no weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS, Method, cost_of
from bench3r.models.catalogue import backbones, label_of_network, unchanged_cost
from bench3r.report.tables import Table

PUBLISHED_FRAMES = (1, 2, 8, 32, 100, 300, 1000, 3000, 10000)


def published_rows(
    scale: str = "full", frames: Sequence[int] = PUBLISHED_FRAMES
) -> list[dict[str, Any]]:
    """FLOPs of every method with its defaults, on every backbone: one row per method, backbone and frame count.

    ``times_fewer`` is the unchanged backbone's count over the method's. Where there is no count, ``reason`` says why.
    Raises Bench3RError for a scale that no backbone has, and for frames below 1.
    """
    if not frames or min(frames) < 1:
        raise Bench3RError(f"frames: every frame count must be at least 1, got {list(frames)}")
    scales = [network.scales for network in backbones().values()]
    if not any(scale in known for known in scales):
        known_scales = sorted({s for known in scales for s in known})
        raise Bench3RError(
            f"no backbone has a configuration for scale {scale!r} (there are {', '.join(known_scales)})"
        )
    rows = []
    for name, cls in METHODS.usable()[0].items():
        for backbone in () if cls.kind == "control" else cls.backbones or tuple(backbones()):
            rows += [_row(name, cls(), backbone, scale, count) for count in frames]
    return sorted(rows, key=lambda r: (r["kind"] != "backbone", r["kind"] == "model"))


def _row(name: str, method: Method, backbone: str, scale: str, frames: int) -> dict[str, Any]:
    """One count, or why there is none."""
    row = {
        "method": name,
        "label": method.label,
        "kind": method.kind,
        "backbone": backbone,
        "scale": scale,
        "frames": frames,
    }
    try:
        method.check(backbone, scale)
        dense = unchanged_cost(backbone, scale, frames)
        found = cost_of(method, dense)
    except (
        Bench3RError
    ) as error:  # options that do not fit this backbone, one image for a pairwise model
        return {**row, "reason": str(error)}
    plain = (unchanged_cost("vggt", scale, frames) if method.kind == "model" else dense).total
    return {
        **row,
        "image_size": f"{dense.size[0]} x {dense.size[1]}",
        "flops": 2 * found.macs,
        "times_fewer": plain / found.macs,
        "assumed": found.assumed,
        "reason": "",
        **{f"flops/{part}": 2 * macs for part, macs in found.parts.items()},
    }


def published_table(scale: str = "full", frames: Sequence[int] = PUBLISHED_FRAMES) -> Table:
    """The counts as a table: methods on backbones against frame counts, in TFLOPs with the factor to the backbone."""
    raw = pd.DataFrame(published_rows(scale, frames))
    shown = []
    for (_, backbone), rows in raw.groupby(["method", "backbone"], sort=False):
        first = rows.iloc[0]
        on = f" on {label_of_network(str(backbone))}" if first["kind"] == "plugin" else ""
        by_frames = rows.set_index("frames")
        cells = {f"{n:,} frames": _cell(by_frames.loc[n]) for n in frames}
        shown.append({"method": f"{first['label']}{on}", **cells})
    assumed = raw[raw["assumed"].fillna("") != ""].drop_duplicates(["method", "frames"])
    refused = raw[raw["flops"].isna()].drop_duplicates(["method", "backbone", "reason"])
    notes = [
        "TFLOPs (2 x multiply-adds) of one forward pass with default options; in brackets how many times fewer than the "
        "unchanged backbone (of pairwise models: than VGGT) at the same number of frames. Counted in closed form, no "
        "weights and no device: a FLOP count is no speed-up.",
        f"Images: {', '.join(sorted(raw['image_size'].dropna().unique()))} pixels.",
        *(
            f"{rows.iloc[0]['label']}: {_assumption(rows)}."
            for _, rows in assumed.groupby("method", sort=False)
        ),
        *(
            f"{r['label']} on {label_of_network(r['backbone'])} has no count: {r['reason']}."
            for _, r in refused.iterrows()
        ),
    ]
    caption = f"Computed by Bench3R at scale `{scale}`, from the sizes of the models alone."
    return Table(
        f"published_flops_{scale}",
        f"FLOPs at {scale} scale over frames",
        caption,
        pd.DataFrame(shown),
        raw,
        notes,
    )


def _assumption(rows: pd.DataFrame) -> str:
    """What a method's counts stand on; where it changes with the frames, what it is at the most frames."""
    texts = list(rows["assumed"])
    last = rows.iloc[-1]
    return texts[0] if len(set(texts)) == 1 else f"{texts[-1]} at {last['frames']:,} frames"


def _cell(row: pd.Series) -> str:
    if pd.isna(row["flops"]):
        return "–"
    value = row["flops"] / 1e12
    text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return text if row["kind"] == "backbone" else f"{text} ({row['times_fewer']:.2f})"
