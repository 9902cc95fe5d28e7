"""Heat maps of quality over two options of a method, where an ablation varies exactly those."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from bench3r.api.presentation import OptionMap
from bench3r.report.columns import QUALITY
from bench3r.report.evidence import Evidence, declarations
from bench3r.report.figures.maps import heat_map
from bench3r.report.section import Canvas, Figure, Section
from bench3r.report.summary import common_scenes, wide


def option_maps(canvas: Canvas) -> Iterator[Figure]:
    """A map for every declaration that an ablation of the run matches."""
    e = canvas.run.first
    for method, section in declarations(OptionMap):
        for name in e.ablations_over(method, (section.rows, section.columns)):
            yield Figure(section.title, option_map(e, name, method, section, canvas.folder))


def option_map(
    e: Evidence, name: str, method: str, section: OptionMap, folder: Path
) -> Path | None:
    """Mean of the first quality column over both options; None with fewer than two values."""
    rows = e.rows_of(name)
    column = QUALITY[0]
    values = wide(rows, column)
    values = values[values.index.isin(common_scenes(rows))].dropna(axis="columns", how="all")
    listed = []
    for setting in values.columns:
        row = setting.values.get(section.rows)
        other = setting.values.get(section.columns)
        if setting.method == method and row and other:
            listed.append((row, other, values[setting].mean()))
    if len(listed) < 2:
        return None
    names = [section.row_title, section.column_title]
    cells = pd.DataFrame(listed, columns=[*names, "value"])
    grid = cells.pivot_table(index=names[0], columns=names[1], values="value")
    return heat_map(grid, column.title, column.digits, folder, section.file)


SECTION = Section("option_maps", 65, "options", figures=option_maps)
