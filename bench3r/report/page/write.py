"""The page as one file, plotly included: it opens from disk without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import jinja2
import pandas as pd
from plotly.offline import get_plotlyjs

from bench3r.files import write_text
from bench3r.report.columns import QUALITY
from bench3r.report.evidence import Evidence
from bench3r.report.page.clouds import Clouds, SceneCloud
from bench3r.report.page.encoding import cell_html, finite, picture
from bench3r.report.page.origins import Origin, origins, records_of
from bench3r.report.page.points import Point, costs_of, pareto_points, scene_table
from bench3r.report.tables import Table

FOLDER = Path(__file__).parent
SCRIPTS = ("base.js", "tables.js", "pareto.js", "viewer.js")


@dataclass(frozen=True)
class ShownTable:
    """A table as the template writes it; texts are HTML."""

    id: str
    title: str
    about: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]


class PageData(TypedDict):
    """What the scripts read."""

    tables: list[list[Origin]]  # by table and row
    pareto: list[Point]
    costs: list[str]  # titles of costs that some point has
    qualities: list[str]
    scenes: dict[str, SceneCloud]


def write_page(
    out: Path,
    run: str,
    tables: list[Table],
    figures: list[tuple[str, Path]],
    evidence: list[Evidence],
    clouds: dict[str, Clouds],
) -> None:
    """Write the page to ``out``; ``figures`` have captions, ``clouds`` the names of scenes."""
    first = evidence[0]
    tables = [*tables, scene_table(first)]
    data = _data(run, tables, evidence, clouds)
    text = json.dumps(finite(dict(data)), allow_nan=False, default=str)
    shown = list(map(_shown, tables))
    sections = [("pareto", "Quality against cost"), ("viewer", "Points")]
    sections += [(table.id, table.title) for table in shown]
    sections.append(("figures", "Figures"))
    page = _template().render(
        run=run,
        about=cell_html(first.about),
        sections=sections,
        tables=shown,
        figures=[(caption, picture(path)) for caption, path in figures],
        data=text.replace("<", "\\u003c"),
        plotly=get_plotlyjs(),
        style=_read("page.css"),
        script="\n".join(map(_read, SCRIPTS)),
    )
    write_text(out, page)


def _read(name: str) -> str:
    return (FOLDER / name).read_text()


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_read("page.html.j2"))


def _data(
    run: str, tables: list[Table], evidence: list[Evidence], clouds: dict[str, Clouds]
) -> PageData:
    first = evidence[0]
    records = pd.concat([e.table for e in evidence])
    points = pareto_points(first)
    scenes: dict[str, SceneCloud] = {}
    for name, cloud in clouds.items():
        pack = cloud.pack()
        if pack is not None:
            scenes[name] = pack
    return {
        "tables": [origins(t, records_of(t, first, records), run) for t in tables],
        "pareto": points,
        "costs": costs_of(points),
        "qualities": [column.title for column in QUALITY],
        "scenes": scenes,
    }


def _shown(table: Table) -> ShownTable:
    return ShownTable(
        id=f"table-{table.name}",
        title=table.title,
        about=cell_html(table.caption),
        columns=list(table.shown.columns),
        rows=table.shown.map(cell_html).to_numpy().tolist(),
        notes=list(map(cell_html, table.notes)),
    )
