"""Report: tables and figures of a run in reports/<run>/, from its collected records."""

from __future__ import annotations

import re
from pathlib import Path

from tabulate import tabulate

from bench3r.api.errors import Bench3RError
from bench3r.files import write_text
from bench3r.report.answer import Answer, answer_of
from bench3r.report.beside import drawn_beside
from bench3r.report.evidence import RunEvidence
from bench3r.report.examples import Example
from bench3r.report.gather import gather
from bench3r.report.markdown import index_text
from bench3r.report.missing import missing_table
from bench3r.report.page.chapters import chapters_of
from bench3r.report.page.clouds import Clouds
from bench3r.report.page.write import Content, write_page
from bench3r.report.papers import with_papers
from bench3r.report.section import Canvas, all_sections
from bench3r.report.tables import Table
from bench3r.run.plan import Plan

LAST_LINES = "answer.txt"  # what a terminal shows at the end
PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Bench3R reports</title>'
    '<body style="font:16px system-ui;margin:2rem"><h1>Bench3R reports</h1><ul>{}</ul></body>'
    "</html>\n"
)


def report(plan: Plan, collected: Path, out: Path) -> str:
    """Write ``out`` (index.md) with its tables and figures beside it, and the page.

    Returns the answer as a terminal shows it. Raises Bench3RError when the run was not collected.
    """
    if not collected.is_file():
        raise Bench3RError(
            f"{collected} is missing: the run has no records yet; start it, or `bench3r collect` "
            "what there is"
        )
    run = gather(plan, collected)
    canvas = Canvas(run, out.parent / "figures")
    content = content_of(run, canvas)
    for table in (content.answer.table, *content.tables, *content.appendix):
        table.write(out.parent / "tables")
    chapters = chapters_of(content.tables, content.appendix, content.figures)
    write_text(out, index_text(plan.name, content.answer, chapters, out.parent))
    text = last_lines(content.answer, out)
    write_text(out.with_name(LAST_LINES), text)
    write_page(out.with_name("index.html"), content)
    write_text(out.parent.parent / "index.html", run_list(out.parent.parent))
    return text


def content_of(run: RunEvidence, canvas: Canvas) -> Content:
    """All that a report shows, figures drawn; these in a process of their own meanwhile."""
    tables: list[Table] = []
    appendix: list[Table] = []
    clouds = clouds_of(canvas)
    sections = all_sections()
    with drawn_beside(sections, canvas) as figures:
        for section in sections:
            found = section.tables(run)
            (appendix if section.appendix else tables).extend(found)
        tables.append(missing_table(run))
        return Content(
            run=run,
            answer=answer_of(run),
            tables=with_papers(run, tables),
            appendix=appendix,
            figures=figures(),
            clouds=clouds,
        )


def last_lines(answer: Answer, out: Path) -> str:
    """The answer for a terminal: what a finished run prints last; intervals stay in the files."""
    sentences = [f"- {plain_text(sentence)}" for sentence in answer.sentences]
    rows = answer.table.shown.map(lambda cell: re.sub(r" \[.*?\]", "", str(cell)))
    table = tabulate(rows, headers="keys", showindex=False, maxheadercolwidths=12, maxcolwidths=26)
    files = f"Read {out}, or {out.with_name('index.html')} in a browser"
    return "\n".join([*sentences, "", plain_text(table), "", files, ""])


def plain_text(text: str) -> str:
    """Markdown without its marks."""
    return re.sub(r"[*`]", "", text)


def clouds_of(canvas: Canvas) -> dict[str, Clouds]:
    """Scenes for the page's viewer of points, by name."""
    clouds = {}
    for dataset, found in canvas.examples.items():
        if isinstance(found, Example):
            name = f"{dataset}: {found.scene.name}"
            clouds[name] = Clouds(found.scene, found.predictions, found.patch)
    return clouds


def run_list(folder: Path) -> str:
    """A page that links the page of every run below ``folder``."""
    runs = sorted(path.parent.name for path in folder.glob("*/index.html"))
    links = [f'<li><a href="{run}/index.html">{run}</a></li>' for run in runs]
    return PAGE.format("".join(links))
