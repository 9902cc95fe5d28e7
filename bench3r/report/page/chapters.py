"""The chapters of the page, in their order: what the sidebar lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench3r.report.section import CHAPTERS, PAPERS, Figure
from bench3r.report.tables import Table

APPENDIX = "appendix"


@dataclass
class Chapter:
    """One question, with the tables and figures that help to answer it."""

    key: str
    title: str
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    appendix: list[Table] = field(default_factory=list)  # folded

    @property
    def is_empty(self) -> bool:
        """Whether a run has nothing for it."""
        return not (self.tables or self.figures or self.appendix)


def chapters_of(
    tables: Sequence[Table], appendix: Sequence[Table], figures: Sequence[Figure]
) -> list[Chapter]:
    """The chapters that have something, in their order.

    Chapters that are no general question, those of papers, stand in the place of PAPERS.
    """
    used = [table.chapter for table in (*tables, *appendix)]
    used += [figure.chapter for figure in figures]
    own = [key for key in dict.fromkeys(used) if key and key not in CHAPTERS]
    keys: list[str] = []
    for key in CHAPTERS:
        keys += [key, *own] if key == PAPERS else [key]
    found = {key: Chapter(key, CHAPTERS.get(key, key)) for key in keys}
    for table in tables:
        chapter = found[table.chapter or APPENDIX]
        (chapter.appendix if chapter.key == APPENDIX else chapter.tables).append(table)
    for table in appendix:
        found[table.chapter or APPENDIX].appendix.append(table)
    for figure in figures:
        found[figure.chapter or APPENDIX].figures.append(figure)
    return [chapter for chapter in found.values() if not chapter.is_empty]
