"""What has a row of a table, and the scenes that its numbers are of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from bench3r.report.memo import once_per_table

OptionValue = bool | int | float | str | list[object] | None
Options = dict[str, OptionValue]


class Setting(NamedTuple):
    """What has a row of a table: a method with its options on a backbone."""

    method: str
    label: str  # as printed
    kind: str  # "backbone", "plugin", "model" or "control"
    options: str  # JSON
    backbone: str

    @property
    def values(self) -> Options:
        """Its options by name."""
        return dict(json.loads(self.options))

    @property
    def is_control(self) -> bool:
        """Whether it bounds what a score can be, and is not ranked."""
        return self.kind == "control"

    @property
    def place(self) -> Place:
        """What tells it from every other setting of a run."""
        return Place(self.method, self.backbone, self.options)


class Place(NamedTuple):
    """What tells one setting from another, whatever it is called."""

    method: str
    backbone: str
    options: str  # JSON


class Scene(NamedTuple):
    """What must be the same for scores to be paired."""

    dataset: str
    frames: int
    seed: int
    scene: str


SETTING = list(Setting._fields)
SCENE = list(Scene._fields)


def settings_of(rows: pd.DataFrame) -> list[Setting]:
    """The distinct settings of ``rows``, in planned order: the rows that a table has."""
    return list(_settings_of(rows))


@once_per_table
def _settings_of(rows: pd.DataFrame) -> tuple[Setting, ...]:
    found = dict.fromkeys(zip(*(rows[name].tolist() for name in SETTING), strict=True))
    return tuple(Setting(*row) for row in found)


def rows_of_setting(rows: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """The rows of one setting: same method, backbone and options."""
    same = rows["method"].eq(setting.method) & rows["backbone"].eq(setting.backbone)
    return rows[same & rows["options"].eq(setting.options)]


def varied_options(settings: Iterable[Setting]) -> list[str]:
    """Names of the options in which ``settings`` differ."""
    values: dict[str, set[str]] = {}
    for setting in settings:
        for name, value in setting.values.items():
            values.setdefault(name, set()).add(json.dumps(value))
    return [name for name, found in values.items() if len(found) > 1]
