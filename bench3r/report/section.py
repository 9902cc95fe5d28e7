"""What a section of a report is: tables and figures on one subject, made from the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from bench3r.api.registry import LIBRARY, Registry, instance_of
from bench3r.report.evidence import Evidence, RunEvidence
from bench3r.report.examples import Example, find_examples
from bench3r.report.tables import Table

# The chapters of a report in their order, each a question: key -> title. Papers whose tables
# methods declare have chapters of their own, in the place of PAPERS.
PAPERS = "papers"
CHAPTERS: Mapping[str, str] = {
    "methods": "What does each method save, and what does it lose?",
    "depth": "Does adaptive depth pay?",
    "length": "Where does the time go, and from which length on does a method pay?",
    "options": "What does each option change?",
    PAPERS: "What do the papers' own tables become here?",
    "protocols": "How much does the scoring rule alone change?",
    "claims": "Do the papers' claims hold here?",
    "scenes": "What does it look like?",
    "training": "What was trained, and for how long?",
    "missing": "What is missing, and why?",
    "published": "What does it cost at published size?",
    "appendix": "Appendices",
}


class Figure(NamedTuple):
    """A figure with its caption; without a file left out, unless it says why there is none."""

    caption: str
    path: Path | None
    says_why: bool = False
    chapter: str = ""  # filled by its section


@dataclass
class Canvas:
    """What figures are drawn from, and the folder that they are written to."""

    run: RunEvidence
    folder: Path

    @cached_property
    def examples(self) -> dict[str, Example | str]:
        """By dataset a scene with predictions, or why it cannot be read."""
        return find_examples(self.run.plan)


@dataclass(frozen=True)
class Section:
    """One subject. A file in ``bench3r/report/sections/`` declares one, and no other knows it.

    ``frame_tables`` are made for every frame count, ``run_tables`` once. What a run has nothing for
    is left out by giving none.
    """

    name: str
    order: int  # sections stand in ascending order
    chapter: str = "appendix"  # a key of CHAPTERS: the question that it helps to answer
    frame_tables: Callable[[Evidence], Iterable[Table]] | None = None
    run_tables: Callable[[RunEvidence], Iterable[Table]] | None = None
    figures: Callable[[Canvas], Iterable[Figure]] | None = None
    appendix: bool = False  # its tables stand behind the figures

    def tables(self, run: RunEvidence) -> list[Table]:
        """All of its tables, with their chapter."""
        found: list[Table] = []
        if self.frame_tables is not None:
            for evidence in run.by_frames:
                found += self.frame_tables(evidence)
        if self.run_tables is not None:
            found += self.run_tables(run)
        return [replace(table, chapter=table.chapter or self.chapter) for table in found]

    def draw(self, canvas: Canvas) -> list[Figure]:
        """All of its figures that could be drawn, and the reasons of others."""
        if self.figures is None:
            return []
        found = []
        for figure in self.figures(canvas):
            if figure.path or figure.says_why:
                found.append(figure._replace(chapter=figure.chapter or self.chapter))
        return found


SECTIONS: Registry[Section] = Registry(
    "section",
    LIBRARY / "report" / "sections",
    "bench3r.report.sections",
    instance_of(Section),
    leave_out=("sections",),
)


def all_sections() -> list[Section]:
    """The sections of a report in their order."""
    return sorted(SECTIONS.all().values(), key=lambda section: section.order)
