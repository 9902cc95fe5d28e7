"""One number per layer that the train stage recorded, as methods declare: a table, or a figure."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench3r.api.method import METHODS
from bench3r.api.presentation import LayerValues
from bench3r.models.catalogue import label_of_network
from bench3r.report.captions import setup_text
from bench3r.report.evidence import Evidence, Setting, declarations
from bench3r.report.figures.layers import layer_bars
from bench3r.report.names import plain
from bench3r.report.section import Canvas, Figure, Section
from bench3r.report.tables import Table, number


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
    grid.columns = [_head(*names) for names in grid.columns]
    grid.index = pd.Index(map(layer_words, grid.index), name="layer")
    shown = grid.map(lambda value: number(value, ".3g")).reset_index()
    name = f"{section.file}{e.suffix}"
    devices = e.trainings[e.trainings["layers"].notna()]["device"]
    caption = setup_text(e, devices)
    return Table(name, section.title, caption, shown, raw, list(section.notes))


def layer_words(name: str) -> str:
    """A module's name as words, without where it lies: "global block 3"."""
    inside = name.removeprefix("aggregator.").removesuffix(".attn")
    return plain(inside.replace(".", " ").replace("blocks", "block"))


def _head(method: str, backbone: str, variant: str) -> str:
    """A method's variant on a backbone, as printed."""
    label = f"{METHODS.get(method).label} on {label_of_network(backbone)}"
    return f"{label}, {plain(variant)}" if variant else label


def layer_figures(canvas: Canvas) -> Iterator[Figure]:
    """A figure for each declaration with a threshold."""
    for method, section in declarations(LayerValues):
        rows = canvas.run.first.layers_of(method).drop_duplicates(["backbone", "layer"])
        if section.threshold is not None and not rows.empty:
            drawn = layer_bars(rows, section.threshold, section.label, canvas.folder, section.file)
            yield Figure(section.title, drawn)


SECTION = Section("layers", 130, "training", frame_tables=layer_tables, figures=layer_figures)
