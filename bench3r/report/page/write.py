"""The page as one file: it opens from disk, without a network and without a library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jinja2

from bench3r.files import write_text
from bench3r.report.answer import Answer
from bench3r.report.evidence import RunEvidence
from bench3r.report.page.chapters import Chapter, chapters_of
from bench3r.report.page.clouds import Clouds
from bench3r.report.page.encoding import cell_html, finite, picture, slug
from bench3r.report.page.origins import Origins, TableOrigins
from bench3r.report.page.pareto import pareto_of
from bench3r.report.page.scenes import scene_table
from bench3r.report.page.shown import ShownTable, shown_table
from bench3r.report.section import Figure
from bench3r.report.tables import Table

FOLDER = Path(__file__).parent
STYLES = ("page.css", "tables.css", "plots.css", "print.css")
SCRIPTS = (
    "base.js",
    "contents.js",
    "tables.js",
    "origin.js",
    "axes.js",
    "marks.js",
    "pareto.js",
    "viewer.js",
)
SCENES = "scenes"  # the chapter that has the viewer


@dataclass(frozen=True)
class Content:
    """What the page of a run shows."""

    run: RunEvidence
    answer: Answer
    tables: list[Table]
    appendix: list[Table]
    figures: list[Figure]
    clouds: Mapping[str, Clouds]  # scenes of the viewer, by name


class ShownFigure(NamedTuple):
    """A figure with its picture as base64 WebP; without one its caption says why there is none."""

    caption: str
    picture: str


class ShownChapter(NamedTuple):
    """A chapter as the template writes it; tables have their place among all."""

    id: str
    title: str
    has_viewer: bool
    tables: list[tuple[int, ShownTable]]
    figures: list[ShownFigure]
    appendix: list[tuple[int, ShownTable]]


def write_page(out: Path, content: Content) -> None:
    """Write the page to ``out``."""
    run = content.run
    clouds = _packed(content.clouds)
    maker = _Maker(Origins(run.by_frames))
    answer = maker.add(content.answer.table)
    appendix = [*content.appendix, *map(scene_table, run.by_frames)]
    chapters = chapters_of(content.tables, appendix, content.figures)
    if clouds and all(chapter.key != SCENES for chapter in chapters):
        chapters.append(Chapter(SCENES, "Points"))
    plots = [plot for plot in map(pareto_of, run.by_frames) if plot is not None]
    page = _template().render(
        run=run.plan.name,
        sentences=[cell_html(sentence) for sentence in content.answer.sentences],
        answer=answer,
        has_plots=bool(plots),
        chapters=[maker.chapter(chapter, bool(clouds)) for chapter in chapters],
        data={
            "origins": _json({"tables": maker.tables, "sources": maker.origins.sources}),
            "plots": _json({"plots": plots}),
            "scenes": _json(clouds),
        },
        style="\n".join(map(_read, STYLES)),
        script="\n".join(map(_read, SCRIPTS)),
    )
    write_text(out, page)


class _Maker:
    """Makes what the template writes, and keeps the origins of the cells of every table."""

    def __init__(self, origins: Origins) -> None:
        self.origins = origins
        self.tables: list[TableOrigins] = []

    def add(self, table: Table) -> tuple[int, ShownTable]:
        """``table`` as shown, with its place among all."""
        shown = shown_table(table)
        self.tables.append(self.origins.of_table(table, shown))
        return len(self.tables) - 1, shown

    def chapter(self, chapter: Chapter, with_viewer: bool) -> ShownChapter:
        """``chapter`` with its tables and pictures."""
        with ThreadPoolExecutor() as pool:  # pictures are made without Python's lock
            figures = list(pool.map(_figure, chapter.figures))
        return ShownChapter(
            id=f"chapter-{slug(chapter.key)}",
            title=chapter.title,
            has_viewer=with_viewer and chapter.key == SCENES,
            tables=[self.add(table) for table in chapter.tables],
            figures=figures,
            appendix=[self.add(table) for table in chapter.appendix],
        )


def _figure(figure: Figure) -> ShownFigure:
    return ShownFigure(figure.caption, picture(figure.path) if figure.path else "")


def _packed(clouds: Mapping[str, Clouds]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, cloud in clouds.items():
        pack = cloud.pack()
        if pack is not None:
            found[name] = pack
    return found


def _json(data: Mapping[str, object]) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(finite(dict(data)), allow_nan=False, separators=(",", ":"), default=str)
    return text.replace("<", "\\u003c")


def _read(name: str) -> str:
    return (FOLDER / name).read_text()


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(FOLDER)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")
