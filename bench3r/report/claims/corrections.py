"""Families of claims: tests of the same kind over the same scenes are corrected together.

Where 20 true null differences are tested at 5 %, one is called real. A family keeps that chance for
all its comparisons together: by the step-down over scenes where it has them, else by Holm.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from bench3r.metrics.statistics import ALPHA, familywise, holm
from bench3r.report.claims.decide import significant
from bench3r.report.claims.verdict import (
    CONTRADICTED,
    OTHER,
    REPRODUCED,
    SAME,
    UNDECIDED,
    Verdict,
)

DECIDED = (SAME, OTHER, REPRODUCED, CONTRADICTED)
OVER_SCENES = "joint sign-flips and Holm"  # what ``familywise`` takes the larger p value of


def corrected(verdicts: list[Verdict]) -> list[Verdict]:
    """The verdicts in their order; those that do not stand among their family decide nothing."""
    families: dict[str, dict[str, Verdict]] = {}
    for verdict in verdicts:
        if verdict.family and verdict.judged:
            families.setdefault(verdict.family, {}).setdefault(verdict.comparison, verdict)
    adjusted = {name: _adjusted(list(family.values())) for name, family in families.items()}
    out = []
    for verdict in verdicts:
        if verdict.family not in families or not verdict.judged:
            out.append(verdict)
            continue
        place = list(families[verdict.family]).index(verdict.comparison)
        p_values, how = adjusted[verdict.family]
        out.append(_among(verdict, float(p_values[place]), len(p_values), how))
    return out


def _adjusted(family: list[Verdict]) -> tuple[np.ndarray, str]:
    """Adjusted p values [M] of the comparisons of a family, and how."""
    tested = [verdict.differences for verdict in family]
    columns = [values for values in tested if values is not None]
    if len(columns) < len(family):
        return holm(np.array([verdict.p for verdict in family])), "Holm"
    table = pd.concat(columns, axis=1)
    weights = family[0].weights
    own = None if weights is None else weights.reindex(table.index).to_numpy()
    return familywise(table.to_numpy(dtype=float), own), OVER_SCENES


def _among(verdict: Verdict, p: float, count: int, how: str) -> Verdict:
    """The verdict with its p value among ``count`` comparisons; undecided where that is large."""
    if not math.isfinite(p):
        return verdict
    stands = significant(p) or verdict.verdict not in DECIDED
    family = f"adjusted p ≤ {ALPHA:g} in a family of {count} ({how})"
    return replace(
        verdict,
        verdict=verdict.verdict if stands else UNDECIDED,
        found=f"{verdict.found}; adjusted p {p:.2g}",
        threshold=f"{verdict.threshold}; {family}",
        p=p,
    )
