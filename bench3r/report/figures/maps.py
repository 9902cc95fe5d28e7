"""Quality over two options of a method, as a map."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import seaborn as sns

from bench3r.report.figures.drawing import ONE_COLUMN, SMALL, panels, save

COLOURS = "cividis_r"
CELL = 0.42  # inches of height


def heat_map(grid: pd.DataFrame, title: str, digits: int, folder: Path, name: str) -> Path:
    """``grid``: values of one option (rows) against those of another, named as its axes."""
    figure, (axis,) = panels(1, 1, ONE_COLUMN, CELL * len(grid) + 0.85)
    sns.heatmap(
        grid,
        annot=True,
        fmt=f".{digits}f",
        cmap=COLOURS,
        ax=axis,
        annot_kws={"fontsize": SMALL},
        cbar_kws={"label": title, "pad": 0.03},
        linewidths=0.5,
    )
    axis.invert_yaxis()
    axis.tick_params(length=0)
    return save(figure, folder, name)
