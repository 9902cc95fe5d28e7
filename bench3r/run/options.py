"""Options of methods as a configuration gives them: lists of values are axes of a grid."""

from __future__ import annotations

import itertools
import types
import typing

from pydantic import JsonValue, ValidationError

from bench3r.api.errors import Bench3RError, describe, unknown
from bench3r.api.method import MethodOptions
from bench3r.files import digest
from bench3r.run.config_sections import Grid, Grids
from bench3r.run.records import Options

SHOWN = 40  # characters of a setting in file names
KEPT = 31  # of a longer one, before its hash


def is_sequence_type(annotation: object) -> bool:
    """Whether an option's type is itself a list or tuple, so that a list of values is one value."""
    origin = typing.get_origin(annotation)
    if origin in (list, tuple):
        return True
    if origin not in (typing.Union, types.UnionType):
        return False
    return any(is_sequence_type(a) for a in typing.get_args(annotation))


def axis(value: JsonValue, annotation: object) -> list[JsonValue]:
    """The values of one option of type ``annotation``: one, or those of a list."""
    if not isinstance(value, list):
        return [value]
    if not is_sequence_type(annotation):
        return value
    several = bool(value) and isinstance(value[0], list)  # a list of values that are lists
    return value if several else [value]


def expand_options(
    raw: Grid | None, options: type[MethodOptions], where: str
) -> list[MethodOptions]:
    """Every combination of the axes in ``raw``.

    Raises Bench3RError for unknown options, values out of range, axes without a value, and where
    two combinations are the same options.
    """
    fields = options.model_fields
    axes: list[list[tuple[str, JsonValue]]] = []
    for key, value in (raw or {}).items():
        if key not in fields:
            raise unknown("option", key, fields, where)
        values = axis(value, fields[key].annotation)
        if not values:
            raise Bench3RError(f"{where}.{key}: the list is empty, so that no value is compared")
        axes.append([(key, v) for v in values])
    try:
        found = [options.model_validate(dict(chosen)) for chosen in itertools.product(*axes)]
    except ValidationError as error:
        raise describe(error, where, fields) from error
    _check_each_once(found, where)
    return found


def _check_each_once(found: list[MethodOptions], where: str) -> None:
    """Raise Bench3RError for options that a grid gives twice, of which one row would be left."""
    for place, chosen in enumerate(found):
        if chosen in found[:place]:
            raise Bench3RError(f"{where}: the options {set_text(chosen)} stand in it twice")


def expand_grids(raw: Grids, options: type[MethodOptions], where: str) -> list[MethodOptions]:
    """Every combination of one grid of options, or of each of a list of grids.

    Grids may overlap; what two of them share is compared once. Raises Bench3RError as
    :func:`expand_options` does, for an empty list of grids, and for a grid that adds nothing.
    """
    if raw == []:
        raise Bench3RError(f"{where}: the list is empty, so that nothing is compared")
    grids: dict[str, Grid | None] = {}
    if isinstance(raw, list):
        grids.update((f"{where}[{index}]", grid) for index, grid in enumerate(raw))
    else:
        grids[where] = raw
    found: dict[str, MethodOptions] = {}
    for place, grid in grids.items():
        before = len(found)
        for expanded in expand_options(grid, options, place):
            found.setdefault(digest(expanded.model_dump(mode="json")), expanded)
        if len(found) == before:
            raise Bench3RError(f"{place}: all its options stand in the grids before it")
    return list(found.values())


def options_text(options: Options) -> str:
    """Readable short form for file names: the values that were set, hashed when long."""
    text = "-".join(f"{name}={value}" for name, value in sorted(options.items()))
    safe = "".join(c if c.isalnum() or c in "=.-" else "_" for c in text)
    return safe if len(safe) <= SHOWN else f"{safe[:KEPT]}-{digest(options)[:8]}"


def set_text(options: MethodOptions) -> str:
    """As :func:`options_text`, of the options that differ from their defaults."""
    return options_text(options.model_dump(mode="json", exclude_defaults=True)) or "default"
