"""Report: tables and figures of a run in reports/<run>/, from its collected records."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench3r.api.errors import Bench3RError
from bench3r.files import write_text
from bench3r.report.evidence import RunEvidence, gather
from bench3r.report.examples import Example
from bench3r.report.page.clouds import Clouds
from bench3r.report.page.write import write_page
from bench3r.report.section import Canvas, Figure, all_sections
from bench3r.report.summary import missing_costs, missing_results
from bench3r.report.tables import Table
from bench3r.run.plan import Plan

ABOUT = (
    "`index.html` beside this file is the same as one page that sorts, filters and shows points in "
    "3D. Tables as CSV and LaTeX lie in `tables/`, figures as PDF in `figures/`.\n"
)
PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Bench3R reports</title>'
    '<body style="font:16px system-ui;margin:2rem"><h1>Bench3R reports</h1><ul>{}</ul></body>'
    "</html>\n"
)


def report(plan: Plan, collected: Path, out: Path) -> None:
    """Write ``out`` (index.md) with its tables and figures beside it, and the page.

    Raises Bench3RError when the run was not collected.
    """
    if not collected.is_file():
        raise Bench3RError(
            f"{collected} is missing: the run has no records yet; start it, or `bench3r collect` "
            "what there is"
        )
    run = gather(plan, collected)
    canvas = Canvas(run, out.parent / "figures")
    tables: list[Table] = []
    appendix: list[Table] = []
    figures: list[Figure] = []
    for section in all_sections():
        found = section.tables(run)
        (appendix if section.appendix else tables).extend(found)
        figures += section.draw(canvas)
    for table in (*tables, *appendix):
        table.write(out.parent / "tables")
    write_text(out, index_text(run, tables, appendix, figures, out.parent))
    write_page(
        out.with_name("index.html"),
        plan.name,
        tables=[*tables, *appendix],
        figures=[(figure.caption, figure.path) for figure in figures if figure.path],
        evidence=run.by_frames,
        clouds=clouds_of(canvas),
    )
    write_text(out.parent.parent / "index.html", run_list(out.parent.parent))


def index_text(
    run: RunEvidence,
    tables: list[Table],
    appendix: list[Table],
    figures: list[Figure],
    folder: Path,
) -> str:
    """The report as Markdown; figures are linked as seen from ``folder``."""
    parts = [f"# Bench3R report: {run.plan.name}\n\n{ABOUT}"]
    parts += [table.markdown() for table in tables]
    parts += [missing_text(run), "## Figures\n"]
    for figure in figures:
        if figure.path is None:
            parts.append(f"{figure.caption}\n")
        else:
            link = f"![{figure.caption}]({figure.path.relative_to(folder)})"
            parts.append(f"### {figure.caption}\n\n{link}\n")
    parts += [table.markdown() for table in appendix]
    return "\n".join(parts)


def missing_text(run: RunEvidence) -> str:
    """The list of everything that is missing."""
    costs = missing_costs(run.by_frames[0].costs) if run.by_frames else missing_costs([])
    missing = pd.concat([missing_results(run.table).astype(object), costs.astype(object)])
    head = "## Missing results\n\n"
    if missing.empty:
        return (
            f"{head}None: every planned scene has every metric, every planned cost is measured.\n"
        )
    return f"{head}What has no value, and why.\n\n{missing.to_markdown(index=False)}\n"


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
