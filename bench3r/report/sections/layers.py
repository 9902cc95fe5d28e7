"""One number per layer that the train stage recorded, as methods declare: a table, or a figure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from bench3r.api.presentation import LayerValues
from bench3r.models.catalogue import label_of_network
from bench3r.report.evidence import Evidence, Setting, declarations
from bench3r.report.figures.drawing import save
from bench3r.report.section import Canvas, Figure, Section
from bench3r.report.tables import Table, number

OVER = "#d55e00"  # colour of bars above the threshold
UNDER = "#0072b2"


def layer_tables(e: Evidence) -> Iterator[Table]:
    """A table for each declared file, with all methods that share it."""
    parts: dict[str, list[pd.DataFrame]] = {}
    sections: dict[str, LayerValues] = {}
    for method, section in declarations(LayerValues):
        if section.threshold is None:
            rows = e.layers_of(method).assign(method=method)
            rows["variant"] = [_variant(options, section) for options in rows["options"]]
            parts.setdefault(section.file, []).append(rows)
            sections.setdefault(section.file, section)
    for file, section in sections.items():
        found = [rows for rows in parts[file] if not rows.empty]
        if found:
            yield layer_table(e, section, pd.concat(found))


def _variant(options: str, section: LayerValues) -> str:
    """The value of the option whose values are told apart."""
    values = Setting("", "", "", options, "").values
    return str(values.get(section.option, ""))


def layer_table(e: Evidence, section: LayerValues, raw: pd.DataFrame) -> Table:
    """Layers against methods, from the rows ``raw`` of all of them."""
    columns = ["method", "backbone", "variant"]
    grid = raw.pivot_table(index="layer", columns=columns, values="value", sort=False)
    grid.columns = [" ".join(filter(None, names)) for names in grid.columns]
    shown = grid.map(lambda value: number(value, ".3g")).reset_index()
    name = f"{section.file}{e.suffix}"
    return Table(name, section.title, e.about, shown, raw, list(section.notes))


def layer_figures(canvas: Canvas) -> Iterator[Figure]:
    """A figure for each declaration with a threshold."""
    for method, section in declarations(LayerValues):
        rows = canvas.run.first.layers_of(method).drop_duplicates(["backbone", "layer"])
        if section.threshold is not None and not rows.empty:
            drawn = layer_figure(section, section.threshold, rows, canvas.folder)
            yield Figure(section.title, drawn)


def layer_figure(section: LayerValues, threshold: float, rows: pd.DataFrame, folder: Path) -> Path:
    """Bars of the layers, one panel per backbone; those above ``threshold`` stand out."""
    backbones = list(rows["backbone"].unique())
    size = (3.2 * len(backbones) + 0.6, 2.8)
    figure, axes = plt.subplots(1, len(backbones), figsize=size, sharey=True, squeeze=False)
    for axis, backbone in zip(axes[0], backbones, strict=True):
        own = rows[rows["backbone"].eq(backbone)]
        colours = [OVER if value > threshold else UNDER for value in own["value"]]
        axis.bar(own["order"], own["value"], color=colours)
        axis.axhline(threshold, color="black", linewidth=0.8, linestyle="--")
        axis.set(title=label_of_network(backbone), xlabel="global layer", xticks=list(own["order"]))
    axes[0][0].set(ylabel=section.label)
    return save(figure, folder, section.file)


SECTION = Section("layers", 130, "training", frame_tables=layer_tables, figures=layer_figures)
