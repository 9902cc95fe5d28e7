"""Cost over frames: figure on log axes, fitted exponents, and from how many frames on a method beats its backbone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from bench3r.models.scales import BACKBONE_LABELS
from bench3r.report.adaptive import Evidence
from bench3r.report.figures import save
from bench3r.report.summary import reference_of
from bench3r.report.tables import Table, peak_bytes

MEASURES: dict[str, Callable[[Any], float]] = {  # of a profile record; NaN where it was not measured
    "time (s)": lambda r: float(np.median(r["seconds"])),
    "peak memory (GB)": lambda r: peak_bytes(r) / 1e9,
    "FLOPs (G)": lambda r: (r["flops"] or np.nan) / 1e9,
}


def exponent(frames: np.ndarray, values: np.ndarray) -> float:
    """Slope of log ``values`` over log ``frames``, least squares over the upper half of the counts; NaN below two."""
    half = len(frames) // 2
    x, y = np.log(frames[half:]), np.log(values[half:])
    return float(np.polyfit(x, y, 1)[0]) if len(x) > 1 and np.isfinite(y).all() else math.nan


def crossover(frames: np.ndarray, own: np.ndarray, reference: np.ndarray) -> float:
    """From how many frames on ``own`` costs less than ``reference`` at every larger measured count.

    The last change of sign of their log ratio, interpolated on log axes; the first count when it is always less,
    infinity when it is not less at the largest, NaN when nothing can be compared.
    """
    known = np.isfinite(own) & np.isfinite(reference)
    if not known.any():
        return math.nan
    x, ratio = np.log(frames[known]), np.log(own[known] / reference[known])
    if ratio[-1] >= 0:
        return math.inf
    above = np.flatnonzero(ratio >= 0)
    if not len(above):
        return float(frames[known][0])
    i = int(above[-1])
    return float(np.exp(x[i] + (x[i + 1] - x[i]) * ratio[i] / (ratio[i] - ratio[i + 1])))


def crossover_text(value: float, first: float) -> str:
    """A crossover in words; ``first`` is the smallest measured count."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "not measured to"
    return f"all, from {first:,.0f}" if value == first else f"about {value:,.0f}"


def scaling(e: Evidence, folder: Path) -> tuple[Path, Table] | None:
    """Time, memory and FLOPs over frames; None when fewer than three frame counts were measured."""
    rows = e.profiles[e.profiles["status"].eq("ok")] if len(e.profiles) else e.profiles
    if not len(rows) or rows["frames"].nunique() < 3:
        return None
    figure, axes = plt.subplots(1, len(MEASURES), figsize=(4.2 * len(MEASURES), 3.6))
    fitted: dict[str, dict[str, Any]] = {}
    several = rows["backbone"].nunique() > 1
    groups = list(rows.groupby(["label", "backbone", "options"], sort=False))
    styles = zip(itertools.cycle(sns.color_palette("colorblind")), itertools.cycle("os^Dv"), strict=False)
    for ((label, backbone, options), own), (colour, marker) in zip(groups, styles, strict=False):
        own = own.sort_values("frames")
        name = f"{label}, {BACKBONE_LABELS.get(backbone, '')}" if several else str(label)
        name = name if name not in fitted else f"{name} {len(fitted)}"
        fitted[name] = {"method": name, "options": options}
        dense = rows[rows["method"].eq(reference_of(backbone))].drop_duplicates("frames").set_index("frames")
        frames = own["frames"].to_numpy(float)
        for axis, (title, measure) in zip(axes, MEASURES.items(), strict=True):
            values = np.array([measure(r) for _, r in own.iterrows()], float)
            against = np.array([measure(dense.loc[n]) if n in dense.index else np.nan for n in own["frames"]], float)
            axis.plot(frames, values, marker=marker, markersize=3.5, label=name, color=colour)
            fitted[name][title] = exponent(frames, values)
            plain = own.iloc[0]["method"] == reference_of(backbone)
            fitted[name][f"less {title.split(' (')[0]} from"] = math.nan if plain else crossover(frames, values, against)
    for axis, title in zip(axes, MEASURES, strict=True):
        axis.set(xscale="log", yscale="log", xlabel="frames", title=title)
    axes[-1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    raw = pd.DataFrame(fitted.values())
    first = float(rows["frames"].min())
    shown = pd.DataFrame({"method": raw["method"]})
    for column in raw.columns[2:]:
        if column.endswith("from"):
            shown[f"{column} (frames)"] = [crossover_text(v, first) for v in raw[column]]
        else:
            shown[f"exponent of {column.split(' (')[0]}"] = [f"{v:.2f}" if np.isfinite(v) else "–" for v in raw[column]]
    notes = [
        "Exponent: slope of log cost over log frames, least squares over the upper half of the measured counts: 1 is "
        "linear, 2 quadratic.",
        "less ... from: the number of frames from which on the method costs less than its unchanged backbone (pairwise "
        'models: than VGGT), interpolated between measured counts on log axes; "not measured to" when it still costs more '
        f"at the largest, {int(rows['frames'].max()):,}.",
    ]
    return save(figure, folder, "scaling"), Table("scaling", "Cost over frames", e.about, shown, raw, notes)
