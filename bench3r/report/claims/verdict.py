"""The words of a verdict, and what each of them rests on.

A claim about published sizes is never confirmed or refuted by a tiny model: then the verdict says
what happened *here*. ``reproduced`` and ``contradicted`` are left to records under the paper's own
conditions, and to claims whose own arithmetic fails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pandas as pd

REPRODUCED = "reproduced"
PARTLY = "reproduced in part"  # of several numbers not all could be measured
CONTRADICTED = "contradicted"
HOLDS = "the paper's numbers agree"
HALF = "the paper's numbers agree in part"  # the rest of the claim cannot be computed from them
FAILS = "contradicted by the paper's own numbers"
SAME = "same direction here"
OTHER = "other direction here"
NEAR = "near here"
FAR = "different here"
FLOPS_AGREE = "FLOPs agree"
FLOPS_DIFFER = "FLOPs differ"
UNDECIDED = "cannot tell"  # measured, and the test does not decide
IDLE = "not exercised here"  # what the claim is about had no effect in this run
LACKING = "not in this run"
ELSEWHERE = "not measurable here"

OPEN = (LACKING, ELSEWHERE)  # nothing was found out
COMPUTED = (HOLDS, HALF, FAILS)  # from reported numbers alone, without a record


@dataclass(frozen=True)
class Verdict:
    """What can be said about a claim: the word, and everything that it rests on.

    Verdicts of one ``family`` are corrected together, once for every distinct ``comparison``: by
    their ``differences`` of scenes where they have some, else by their ``p``.
    """

    verdict: str
    found: str = ""  # the measured or computed value with its interval, in words
    test: str = ""  # how it was decided
    threshold: str = ""  # what decides
    n: int | None = None  # how many values the test had
    unit: str = "scenes"  # of what so many
    missing: str = ""  # what would be needed to say more
    records: tuple[str, ...] = ()  # files behind it, or how it was computed
    family: str = ""
    comparison: str = ""
    p: float = math.nan
    differences: pd.Series | None = field(default=None, compare=False, repr=False)
    weights: pd.Series | None = field(default=None, compare=False, repr=False)  # of the scenes

    @property
    def judged(self) -> bool:
        """Whether something was found out."""
        return self.verdict not in OPEN

    @property
    def shown(self) -> str:
        """The word, with n where that is the reason."""
        if self.verdict == UNDECIDED and self.n is not None:
            return f"{self.verdict} (n = {self.n})"
        return self.verdict

    @property
    def count(self) -> str:
        """``n`` with its unit; empty without."""
        return "" if self.n is None else f"{self.n} {self.unit}"

    @property
    def why(self) -> str:
        """All of it in one sentence, for the CSV."""
        parts = [self.found]
        if self.test:
            parts.append(f"test: {self.test}")
        if self.n is not None:
            parts.append(f"n = {self.n} {self.unit}")
        if self.threshold:
            parts.append(f"threshold: {self.threshold}")
        parts.append(self.missing)
        return "; ".join(part for part in parts if part)

    def lacking(self, what: str) -> Verdict:
        """The same with more that is missing."""
        return replace(self, missing="; ".join(filter(None, [self.missing, what])))


def lacking(what: str) -> Verdict:
    """The run has no records of what is compared."""
    return Verdict(LACKING, missing=what)


def elsewhere(what: str) -> Verdict:
    """The run is not like the paper's conditions."""
    return Verdict(ELSEWHERE, missing=what)
