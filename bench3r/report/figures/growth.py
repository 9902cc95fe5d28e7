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
from bench3r.report.tables import number


def growth(found: list[Growth], folder: Path) -> Path:
    """One row per unchanged backbone, one column per measure; exponents in the legend."""
    by_backbone: dict[str, list[Growth]] = {}
    labels: dict[str, None] = {}
    for one in found:
        by_backbone.setdefault(one.unchanged, []).append(one)
        if one.name != label_of_network(one.unchanged):
            labels[one.label] = None
    looks = looks_of(list(labels))
    figure, axes = plt.subplots(
        len(by_backbone),
        len(MEASURES),
        figsize=(4.2 * len(MEASURES), 3.2 * len(by_backbone)),
        squeeze=False,
        sharex=True,
    )
    ticks = sorted(set(np.concatenate([g.frames for g in found])))
    for row, (backbone, own) in zip(axes, by_backbone.items(), strict=True):
        for axis, title in zip(row, MEASURES, strict=True):
            _draw(axis, own, title, looks)
            axis.set(xscale="log", yscale="log", title=f"{label_of_network(backbone)}: {title}")
            axis.set_xticks(ticks, list(map("{:g}".format, ticks)))
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
        slopes = " / ".join(number(slope, ".2f") for slope in one.exponents.values())
        axis.plot(
            one.frames,
            one.costs[title],
            marker=marker,
            markersize=3.5,
            label=f"{one.label}  {slopes}",
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
