"""The words of a verdict.

A claim about published sizes is never confirmed or refuted by a tiny model: then the verdict says
what happened *here*. ``contradicted`` is left to claims whose own arithmetic fails.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def holds_if(good: bool, why: str) -> Verdict:
    """The paper's numbers give what is claimed, or they do not."""
    return Verdict(HOLDS if good else FAILS, why)
