"""Cost over frames: figure on log axes, fitted exponents, and from how many frames on a method beats its backbone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter, NullLocator

from bench3r.models.catalogue import label_of_network
from bench3r.report.adaptive import Evidence
from bench3r.report.figures import looks_of, save
from bench3r.report.summary import reference_of
from bench3r.report.tables import Table, peak_bytes

TIME = "time (s)"
MEASURES: dict[
    str, Callable[[Any], float]
] = {  # of a profile record; NaN where it was not measured
    TIME: lambda r: float(np.median(r["seconds"])),
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


@dataclass
class Grown:
    """One method on one backbone over frame counts."""

    name: str
    label: str
    dense: str  # the unchanged backbone that it is compared with; VGGT for pairwise models
    options: str
    frames: np.ndarray
    costs: dict[str, np.ndarray]  # by measure
    exponents: dict[str, float]
    crossovers: dict[str, float]  # NaN for the unchanged backbones themselves


def grown(rows: pd.DataFrame) -> list[Grown]:
    """What every method of ``rows`` (finished profiles) costs over frames, and against its unchanged backbone.

    Times are compared with those of the backbone that were taken in turn with them, where there are some; what two
    processes met at different moments would blur the crossover.
    """
    out: list[Grown] = []
    for (label, backbone, options), own in rows.groupby(
        ["label", "backbone", "options"], sort=False
    ):
        own, reference = own.sort_values("frames"), reference_of(str(backbone))
        dense = rows[rows["method"].eq(reference)].drop_duplicates("frames").set_index("frames")
        frames = own["frames"].to_numpy(float)
        on = label_of_network(str(backbone))
        name = str(label) if on in ("", label) else f"{label}, {on}"
        one = Grown(
            name if name not in {g.name for g in out} else f"{name} {len(out)}",
            str(label),
            reference,
            str(options),
            frames,
            {},
            {},
            {},
        )
        plain = own.iloc[0]["method"] == reference
        for title, measure in MEASURES.items():
            values = np.array([measure(r) for _, r in own.iterrows()], float)
            against = np.array(
                [measure(dense.loc[n]) if n in dense.index else np.nan for n in own["frames"]],
                float,
            )
            if title == TIME:
                in_turn = [r.get("reference_seconds") for _, r in own.iterrows()]
                against = np.array(
                    [
                        np.median(t) if _some(t) else a
                        for t, a in zip(in_turn, against, strict=True)
                    ],
                    float,
                )
            one.costs[title], one.exponents[title] = values, exponent(frames, values)
            one.crossovers[title] = math.nan if plain else crossover(frames, values, against)
        out.append(one)
    return out


def _some(times: Any) -> bool:
    return isinstance(times, list | np.ndarray) and len(times) > 0


def scaling(e: Evidence, folder: Path) -> tuple[Path, Table] | None:
    """Time, memory and FLOPs over frames; None when fewer than three frame counts were measured."""
    rows = e.profiles[e.profiles["status"].eq("ok")] if len(e.profiles) else e.profiles
    if not len(rows) or rows["frames"].nunique() < 3:
        return None
    found = grown(rows)
    raw = pd.DataFrame(
        [
            {
                "method": g.name,
                "options": g.options,
                **g.exponents,
                **{f"less {t.split(' (')[0]} from": v for t, v in g.crossovers.items()},
            }
            for g in found
        ]
    )
    first = float(rows["frames"].min())
    shown = pd.DataFrame({"method": raw["method"]})
    for title in MEASURES:
        what = title.split(" (")[0]
        shown[f"exponent of {what}"] = [f"{v:.2f}" if np.isfinite(v) else "–" for v in raw[title]]
        shown[f"less {what} from (frames)"] = [
            crossover_text(v, first) for v in raw[f"less {what} from"]
        ]
    notes = [
        "Exponent: slope of log cost over log frames, least squares over the upper half of the measured counts: 1 is "
        "linear, 2 quadratic.",
        "less ... from: the number of frames from which on the method costs less than its unchanged backbone (pairwise "
        'models: than VGGT), interpolated between measured counts on log axes; "not measured to" when it still costs more '
        f"at the largest, {int(rows['frames'].max()):,}. Times are compared with the backbone's own calls taken in turn.",
        "Peak memory is that of the whole process; where it hardly grows, libraries and weights are most of it.",
    ]
    return _draw(found, folder), Table("scaling", "Cost over frames", e.about, shown, raw, notes)


def _draw(found: list[Grown], folder: Path) -> Path:
    """One row per unchanged backbone, one column per measure, both axes logarithmic; exponents in the legend."""
    against = list(dict.fromkeys(g.dense for g in found))
    looks = looks_of(
        list(dict.fromkeys(g.label for g in found if g.name != label_of_network(g.dense)))
    )
    figure, axes = plt.subplots(
        len(against),
        len(MEASURES),
        figsize=(4.2 * len(MEASURES), 3.2 * len(against)),
        squeeze=False,
        sharex=True,
    )
    ticks = sorted({n for g in found for n in g.frames})
    for row, dense in zip(axes, against, strict=True):
        for g in [g for g in found if g.dense == dense]:
            colour, marker = looks.get(g.label, ("black", "o"))
            slopes = " / ".join(f"{v:.2f}" if np.isfinite(v) else "–" for v in g.exponents.values())
            for axis, title in zip(row, MEASURES, strict=True):
                label = f"{g.label}  {slopes}"
                axis.plot(
                    g.frames,
                    g.costs[title],
                    marker=marker,
                    markersize=3.5,
                    label=label,
                    color=colour,
                )
        for axis, title in zip(row, MEASURES, strict=True):
            axis.set(xscale="log", yscale="log", title=f"{label_of_network(dense)}: {title}")
            axis.set_xticks(ticks, [f"{n:g}" for n in ticks])
            axis.xaxis.set_minor_locator(NullLocator())
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))
            axis.yaxis.set_minor_formatter(NullFormatter())
        names = " / ".join(t.split(" (")[0] for t in MEASURES)
        row[-1].legend(
            fontsize=7,
            loc="upper left",
            bbox_to_anchor=(1, 1),
            title=f"exponents: {names}",
            title_fontsize=7,
        )
    for axis in axes[-1]:
        axis.set_xlabel("frames")
    figure.tight_layout()
    return save(figure, folder, "scaling")
