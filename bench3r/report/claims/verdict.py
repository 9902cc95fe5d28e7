"""The words of a verdict.

A claim about published sizes is never confirmed or refuted by a tiny model: then the verdict says
what happened *here*. ``reproduced`` and ``contradicted`` are left to records under the paper's own
conditions, and to claims whose own arithmetic fails.
"""

from __future__ import annotations

from dataclasses import dataclass

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
HOLDS = "the paper's numbers agree"
FAILS = "contradicted by the paper's own numbers"
SAME = "same direction here"
OTHER = "other direction here"
UNDECIDED = "no clear difference here"
LACKING = "not in this run"
ELSEWHERE = "not measurable here"


@dataclass(frozen=True)
class Verdict:
    """What can be said about a claim, and why."""

    verdict: str
    why: str

    @property
    def judged(self) -> bool:
        """Whether something was found out."""
        return self.verdict not in (ELSEWHERE, LACKING)


def same_if(good: bool, why: str) -> Verdict:
    """The claimed direction was found here, or the other one."""
    return Verdict(SAME if good else OTHER, why)


def reproduced_if(good: bool, why: str) -> Verdict:
    """The claimed number was found under the paper's conditions, or another one."""
    return Verdict(REPRODUCED if good else CONTRADICTED, why)


def holds_if(good: bool, why: str) -> Verdict:
    """The paper's numbers give what is claimed, or they do not."""
    return Verdict(HOLDS if good else FAILS, why)
