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
from bench3r.report.page.points import COSTS, Point, pareto_points, scene_table
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
    records = pd.concat([e.table for e in evidence])
    points = pareto_points(first)
    data: PageData = {
        "tables": [origins(t, records_of(t, first, records), run) for t in tables],
        "pareto": points,
        "costs": [cost for cost in COSTS if any(p.get(cost) is not None for p in points)],
        "qualities": [c.title for c in QUALITY],
        "scenes": _packed(clouds),
    }
    text = json.dumps(finite(dict(data)), allow_nan=False, default=str)
    shown = [_shown(t) for t in tables]
    sections = [("pareto", "Quality against cost"), ("viewer", "Points")]
    sections += [(s.id, s.title) for s in shown]
    sections.append(("figures", "Figures"))
    page = _template().render(
        run=run,
        about=cell_html(first.about),
        sections=sections,
        tables=shown,
        figures=[(caption, picture(path)) for caption, path in figures if path.name],
        data=text.replace("<", "\\u003c"),
        plotly=get_plotlyjs(),
        style=(FOLDER / "page.css").read_text(),
        script="\n".join((FOLDER / name).read_text() for name in SCRIPTS),
    )
    write_text(out, page)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string((FOLDER / "page.html.j2").read_text())


def _packed(clouds: dict[str, Clouds]) -> dict[str, SceneCloud]:
    """The scenes that have ground-truth depth."""
    packs = {name: cloud.pack() for name, cloud in clouds.items()}
    return {name: pack for name, pack in packs.items() if pack}


def _shown(table: Table) -> ShownTable:
    rows = table.shown.itertuples(index=False)
    return ShownTable(
        id=f"table-{table.name}",
        title=table.title,
        about=cell_html(table.caption),
        columns=list(table.shown.columns),
        rows=[[cell_html(value) for value in row] for row in rows],
        notes=[cell_html(note) for note in table.notes],
    )
