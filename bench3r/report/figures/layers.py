"""One number per layer that the train stage recorded, against a threshold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench3r.models.catalogue import label_of_network
from bench3r.report.figures.drawing import BLACK, ONE_COLUMN, TWO_COLUMNS, panels, save

OVER = "#d55e00"  # colour of bars above the threshold
UNDER = "#0072b2"
FEW = 12  # layers that all have a tick


def layer_bars(rows: pd.DataFrame, threshold: float, label: str, folder: Path, name: str) -> Path:
    """Bars of the layers, one panel per backbone; those above ``threshold`` stand out.

    ``rows``: backbone, order of the layer, value.
    """
    backbones = list(rows["backbone"].unique())
    width = ONE_COLUMN if len(backbones) == 1 else TWO_COLUMNS
    figure, axes = panels(1, len(backbones), width, 1.9, share=(False, True))
    for axis, backbone in zip(axes, backbones, strict=True):
        own = rows[rows["backbone"].eq(backbone)]
        colours = [OVER if value > threshold else UNDER for value in own["value"]]
        axis.bar(own["order"], own["value"], color=colours, linewidth=0)
        axis.axhline(threshold, color=BLACK, linewidth=0.8, linestyle="--")
        axis.set(title=label_of_network(backbone), xlabel="global layer")
        axis.grid(visible=False, axis="x")
        if len(own) <= FEW:
            axis.set_xticks(list(own["order"]))
    axes[0].set_ylabel(label)
    return save(figure, folder, name)
