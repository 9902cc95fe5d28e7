"""Cost over frames on logarithmic axes."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from bench3r.models.catalogue import label_of_network
from bench3r.report.figures.drawing import Colour, log_ticks, looks_of, save
from bench3r.report.growth import MEASURES, Growth


def growth(found: list[Growth], folder: Path) -> Path:
    """One row per unchanged backbone, one column per measure; exponents in the legend."""
    backbones = list(dict.fromkeys(g.unchanged for g in found))
    plugins = [g.label for g in found if g.name != label_of_network(g.unchanged)]
    looks = looks_of(list(dict.fromkeys(plugins)))
    figure, axes = plt.subplots(
        len(backbones),
        len(MEASURES),
        figsize=(4.2 * len(MEASURES), 3.2 * len(backbones)),
        squeeze=False,
        sharex=True,
    )
    ticks = sorted(set(np.concatenate([g.frames for g in found])))
    for row, backbone in zip(axes, backbones, strict=True):
        own = [g for g in found if g.unchanged == backbone]
        for axis, title in zip(row, MEASURES, strict=True):
            _draw(axis, own, title, looks)
            axis.set(xscale="log", yscale="log", title=f"{label_of_network(backbone)}: {title}")
            axis.set_xticks(ticks, [f"{n:g}" for n in ticks])
            axis.xaxis.set_minor_locator(NullLocator())
            log_ticks(axis.yaxis)
        _legend(row[-1])
    for axis in axes[-1]:
        axis.set_xlabel("frames")
    figure.tight_layout()
    return save(figure, folder, "scaling")


def _draw(axis: Axes, own: list[Growth], title: str, looks: dict[str, tuple[Colour, str]]) -> None:
    for one in own:
        colour, marker = looks.get(one.label, ("black", "o"))
        slopes = [f"{v:.2f}" if np.isfinite(v) else "–" for v in one.exponents.values()]
        axis.plot(
            one.frames,
            one.costs[title],
            marker=marker,
            markersize=3.5,
            label=f"{one.label}  {' / '.join(slopes)}",
            color=colour,
        )


def _legend(axis: Axes) -> None:
    names = " / ".join(title.split(" (")[0] for title in MEASURES)
    axis.legend(
        fontsize=7,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        title=f"exponents: {names}",
        title_fontsize=7,
    )
