"""What a paired difference says, in words."""

from __future__ import annotations

from bench3r.report.columns import Column
from bench3r.report.equal_cost import Against
from bench3r.report.summary import Difference

BETTER = "better"
WORSE = "worse"
SAME = "not told apart"
FEW = "too few scenes to tell"
WITHIN_DAMAGE = "better, not beyond its damage"


def in_words(found: Difference, column: Column) -> str:
    """Whether the first of the two is better in ``column``."""
    if not found.interval.decides:
        return FEW
    if not found.told_apart:
        return SAME
    return BETTER if (found.interval.mean < 0) == (column.better == "lower") else WORSE


def against_in_words(found: Against, column: Column) -> str:
    """Whether a method is better than the control of its cost in ``column``.

    To be better it has to be so, too, than that control without what fine-tuning did to it.
    """
    word = in_words(found.difference, column)
    if word != BETTER or found.undamaged is None:
        return word
    return BETTER if in_words(found.undamaged, column) == BETTER else WITHIN_DAMAGE
