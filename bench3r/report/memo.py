"""Answers about tables of records that are computed once, however many sections ask."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import pandas as pd

P = ParamSpec("P")
R = TypeVar("R")


def once_per_table(
    function: Callable[Concatenate[pd.DataFrame, P], R],
) -> Callable[Concatenate[pd.DataFrame, P], R]:
    """``function`` of a table of records, called once for each table and further arguments.

    Tables of a report are never changed in place, only what is made from them; answers are
    forgotten with their table. Arguments after the table must be hashable.
    """
    known: dict[int, dict[Hashable, R]] = {}

    @wraps(function)
    def remembered(table: pd.DataFrame, *args: P.args, **kwargs: P.kwargs) -> R:
        own = known.get(id(table))
        if own is None:
            own = known[id(table)] = {}
            weakref.finalize(table, known.pop, id(table), None)
        key = (args, tuple(kwargs.items()))
        if key not in own:
            own[key] = function(table, *args, **kwargs)
        return own[key]

    return remembered
