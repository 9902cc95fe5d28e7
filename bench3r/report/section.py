"""What a section of a report is: tables and figures on one subject, made from the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from bench3r.api.registry import LIBRARY, Registry, instance_of
from bench3r.report.evidence import Evidence, RunEvidence
from bench3r.report.examples import Example, find_examples
from bench3r.report.tables import Table


class Figure(NamedTuple):
    """A figure with its caption; without a file left out, unless it says why there is none."""

    caption: str
    path: Path | None
    says_why: bool = False


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
    frame_tables: Callable[[Evidence], Iterable[Table]] | None = None
    run_tables: Callable[[RunEvidence], Iterable[Table]] | None = None
    figures: Callable[[Canvas], Iterable[Figure]] | None = None
    appendix: bool = False  # its tables stand behind the figures

    def tables(self, run: RunEvidence) -> list[Table]:
        """All of its tables."""
        found: list[Table] = []
        if self.frame_tables is not None:
            for evidence in run.by_frames:
                found += self.frame_tables(evidence)
        if self.run_tables is not None:
            found += self.run_tables(run)
        return found

    def draw(self, canvas: Canvas) -> list[Figure]:
        """All of its figures that could be drawn, and the reasons of others."""
        if self.figures is None:
            return []
        return [figure for figure in self.figures(canvas) if figure.path or figure.says_why]


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
