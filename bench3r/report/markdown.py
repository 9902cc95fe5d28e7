"""The report as one Markdown file: the answer, then chapter by chapter, appendices folded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench3r.report.answer import Answer
from bench3r.report.page.chapters import Chapter
from bench3r.report.section import Figure
from bench3r.report.tables import Table

ABOUT = (
    "[`index.html`](index.html) beside this file is the same as one page that sorts, filters and "
    "shows points in 3D. Every table lies as CSV (raw values) and LaTeX in `tables/`, every figure "
    "as PDF in `figures/`.\n"
)
FOLDED = ("published", "appendix")  # chapters that are no finding of the run


def index_text(name: str, answer: Answer, chapters: Sequence[Chapter], folder: Path) -> str:
    """The whole file; figures are linked as seen from ``folder``."""
    parts = [f"# Bench3R report: {name}\n", answer_text(answer), ABOUT, contents(chapters)]
    parts += [chapter_text(chapter, folder) for chapter in chapters]
    return "\n".join(parts)


def answer_text(answer: Answer) -> str:
    """The sentences as a list, then the table."""
    lines = "".join(f"- {sentence}\n" for sentence in answer.sentences)
    return f"## The answer first\n\n{lines}\n{table_text(answer.table)}"


def contents(chapters: Sequence[Chapter]) -> str:
    """Links to the chapters."""
    lines = [f"- [{chapter.title}](#{anchor(chapter.title)})\n" for chapter in chapters]
    return f"## Contents\n\n{''.join(lines)}"


def anchor(title: str) -> str:
    """The name that Markdown viewers give to the place of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def chapter_text(chapter: Chapter, folder: Path) -> str:
    """A chapter with its tables and figures, and its appendix folded; some are folded whole."""
    said: dict[str, str] = {}
    inside = [table_text(table, said) for table in chapter.tables]
    inside += [figure_text(figure, folder) for figure in chapter.figures]
    head = f"## {chapter.title}\n"
    if chapter.key in FOLDED:
        inside += [table_text(table, said) for table in chapter.appendix]
        return "\n".join([head, folded("Open", inside)])
    if chapter.appendix:
        appendix = [table_text(table, said) for table in chapter.appendix]
        inside.append(folded("More of this", appendix))
    return "\n".join([head, *inside])


def folded(summary: str, parts: Sequence[str]) -> str:
    """``parts`` behind a line that opens them."""
    inside = "\n".join(parts)
    return f"<details>\n<summary>{summary}</summary>\n\n{inside}\n</details>\n"


def table_text(table: Table, said: dict[str, str] | None = None) -> str:
    """A table one level below its chapter; without rows its caption says why.

    Notes that the chapter has ``said`` already, by the title of their table, are pointed at.
    """
    if table.shown.empty:
        return f"### {table.title}\n\n{table.caption}\n"
    known = {} if said is None else said
    notes = [note for note in table.notes if note not in known]
    where = dict.fromkeys(known[note] for note in table.notes if note in known)
    if where:
        notes.append(f"How to read the columns: as under {' and '.join(where)}.")
    for note in table.notes:
        known.setdefault(note, f'"{table.title}"')
    return f"#{replace(table, notes=notes).markdown()}"


def figure_text(figure: Figure, folder: Path) -> str:
    """A figure with its caption; without a file the reason alone."""
    if figure.path is None:
        return f"{figure.caption}\n"
    short = figure.caption.split(". ")[0]
    return f"![{short}]({figure.path.relative_to(folder)})\n\n{figure.caption}\n"
