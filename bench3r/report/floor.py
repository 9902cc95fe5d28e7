"""Whether a method is better than the trivial control: what knows nothing of the scene."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bench3r.report.evidence import methods
from bench3r.report.settings import Setting
from bench3r.report.summary import Difference, difference

NO_BETTER = "‡"  # no better than the trivial control
MEANING = (  # of the mark
    f"{NO_BETTER}: no better than the trivial control, for the 95 % CI of the paired difference to "
    "it includes zero or is on the worse side (uncorrected: a correction would accuse more)"
)


def is_trivial(setting: Setting) -> bool:
    """Whether it is a control that is told nothing of the ground truth."""
    if not setting.is_control:
        return False
    method = methods().get(setting.method)
    return method is not None and not method.conditions_on


def trivial_of(settings: Iterable[Setting]) -> Setting | None:
    """The trivial control among ``settings``."""
    return next((setting for setting in settings if is_trivial(setting)), None)


def against_trivial(
    values: pd.DataFrame, setting: Setting, weights: pd.Series | None = None
) -> Difference | None:
    """``setting`` minus the trivial control; None for controls, and where there is nothing."""
    trivial = trivial_of(values.columns)
    if trivial is None or setting.is_control:
        return None
    return difference(values, setting, trivial, weights)


def is_no_better(found: Difference | None, better: str) -> bool:
    """Whether a difference to the trivial control says that it is no better, scenes enough.

    By its own interval: corrected for all methods, a real difference would be called none.
    """
    if found is None or not better or not found.interval.decides:
        return False
    good = (found.interval.mean < 0) == (better == "lower")
    return not (good and found.interval.excludes_zero and not found.tie)
