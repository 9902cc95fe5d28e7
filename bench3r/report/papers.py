"""Chapters of papers: their tables as they lay them out, and which cells this run covers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatch

import pandas as pd

from bench3r.report.captions import caption_of
from bench3r.report.evidence import Evidence, RunEvidence
from bench3r.report.layouts import Paper, PaperTable, all_papers
from bench3r.report.names import listed, name_of
from bench3r.report.paper_grid import Cell, Grid, fill, grid_frame, grid_numbers
from bench3r.report.settings import rows_of_setting, settings_of
from bench3r.report.tables import MISSING, Table

PRINTED = (
    "Ours, and in (parentheses) what the paper prints, at its scale, on its data and device: "
    "compare the order of rows, not the numbers."
)


def chapter_of(paper: Paper) -> str:
    """The title of a paper's chapter, by which its tables name it."""
    return f"What do the tables of {paper.name} become here?"


def with_papers(
    run: RunEvidence, tables: Sequence[Table], papers: Sequence[Paper] | None = None
) -> list[Table]:
    """``tables`` with those that answer a paper's table in its chapter, and the paper's own.

    Every paper of which the run has a method gets a chapter: what its tables become here, the
    tables that this run has a cell of, and ours that answer others.
    """
    rest = list(tables)
    found: list[Table] = []
    planned = list(run.table["method"].unique()) if run.by_frames else []
    known = {paper.key: paper for paper in (all_papers() if papers is None else papers)}
    for paper in (known[method] for method in planned if method in known):
        chapter = PaperChapter(run, paper, rest)
        rest = chapter.rest
        found += chapter.tables
    return [*rest, *found]


class PaperChapter:
    """The tables of one paper's chapter, and the ``rest`` that are not its."""

    def __init__(self, run: RunEvidence, paper: Paper, tables: Sequence[Table]) -> None:
        self.title = chapter_of(paper)
        self.rest = list(tables)
        own: list[Table] = []
        rows = []
        for layout in paper.tables:
            answers = self._answers(paper, layout)
            grid = fill(run, layout) if layout.rows else None
            if grid is not None and grid.covered:
                own.append(replace(grid_table(run.first, paper, grid), chapter=self.title))
            own += answers
            rows.append(_coverage_row(layout, grid, answers))
        self.tables = [self._coverage(paper, rows), *own]

    def _answers(self, paper: Paper, layout: PaperTable) -> list[Table]:
        """Tables of the report that answer ``layout``, taken from the rest."""
        found = [t for t in self.rest if any(is_called(t.name, one) for one in layout.ours)]
        self.rest = [table for table in self.rest if table not in found]
        titled = []
        for table in found:
            form = " in our form" if layout.rows else ""
            title = f"{paper.name}, {layout.number}{form}: {table.title}"
            titled.append(replace(table, title=title, chapter=self.title))
        return titled

    def _coverage(self, paper: Paper, rows: list[dict[str, str]]) -> Table:
        frame = pd.DataFrame(rows)
        return Table(
            name=f"paper_{paper.key}",
            title=f"{paper.name}: which of its tables this run covers",
            caption="Cells of the paper's tables that this run has a number of its own for.",
            shown=frame,
            raw=frame.copy(),
            chapter=self.title,
        )


def is_called(name: str, pattern: str) -> bool:
    """Whether a table's ``name`` is ``pattern``, perhaps at one of several frame counts."""
    return fnmatch(re.sub(r"_f\d+$", "", name), pattern)


def grid_table(e: Evidence, paper: Paper, grid: Grid) -> Table:
    """A filled table of a paper."""
    layout = grid.table
    slug = re.sub(r"\W+", "_", layout.number.lower())
    used = [setting for setting in grid.settings if setting is not None]
    rows = pd.concat([rows_of_setting(e.table, setting) for setting in used])
    data = {column.dataset for column in layout.columns if column.dataset}
    shown_on = data or set(e.rows_of("main")["dataset"].unique())
    rows = rows[rows["dataset"].isin(shown_on)]
    notes = [PRINTED]
    if layout.conditions:
        notes.append(f"Printed: {layout.conditions}.")
    ours = _our_rows(grid, e)
    if ours:
        notes.append(f"Rows of ours: {'; '.join(ours)}.")
    missing = reasons(grid.all_cells)
    if missing:
        notes.append(f"Not covered: {missing}.")
    return Table(
        name=f"{paper.key}_{slug}",
        title=f"{paper.name}, {layout.number}: {layout.title}",
        caption=caption_of(e, rows),
        shown=grid_frame(grid),
        raw=grid_numbers(grid),
        notes=[*notes, *layout.notes],
    )


def _our_rows(grid: Grid, e: Evidence) -> list[str]:
    """Which of our settings stands for a row, where it is called otherwise."""
    texts = []
    main = e.rows_of("main")
    inside = settings_of(main)
    for row, setting in zip(grid.table.rows, grid.settings, strict=True):
        if setting is None:
            continue
        name = name_of(setting, main if setting in inside else e.table)
        if name.lower() != row.label.lower():
            texts.append(f"{row.label} = {name}")
    return texts


def reasons(cells: Sequence[Cell]) -> str:
    """Why cells that the paper prints have no number of ours, with how many each."""
    tally: dict[str, int] = {}
    for cell in cells:
        if cell.printed is not None and not math.isfinite(cell.ours):
            tally[cell.why] = tally.get(cell.why, 0) + 1
    return "; ".join(f"{n} cell{'s' * (n > 1)}, {why}" for why, n in tally.items())


def _coverage_row(layout: PaperTable, grid: Grid | None, answers: list[Table]) -> dict[str, str]:
    covered = "0"
    why = layout.why
    if grid is not None:
        covered = f"{grid.covered} of {grid.planned} cells"
        why = "; ".join(filter(None, [reasons(grid.all_cells), why]))
    if answers:
        texts = [table.title.split(": ", 1)[-1] for table in answers]
        form = f"in our form: {listed(texts)}"
        covered = form if grid is None else f"{covered}, and {form}"
    elif layout.ours and grid is None:
        why = why or "this run has nothing for it"
    what = layout.title
    if grid is None and layout.conditions:
        what = f"{what} ({layout.conditions})"
    return {
        "table": layout.number,
        "what it shows": what,
        "covered": covered,
        "why not the rest": why or MISSING,
    }
