"""How settings, options and datasets are called in tables and figures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import pandas as pd

from bench3r.api.dataset import DATASETS
from bench3r.api.method import METHODS
from bench3r.models.catalogue import label_of_network
from bench3r.report.columns import Column
from bench3r.report.settings import Setting, settings_of


def name_of(setting: Setting, rows: pd.DataFrame) -> str:
    """How ``setting`` is called among ``rows``.

    When its method has several rows: with the option that varies, or of several those that are not
    the default; on several backbones: with its backbone.
    """
    everyone = settings_of(rows)
    same = [
        s.values for s in everyone if (s.method, s.backbone) == (setting.method, setting.backbone)
    ]
    label = label_of(setting.method, setting.label, setting.values, same)
    on = {s.backbone for s in everyone if s.kind == "plugin"}
    if len(on) > 1 and setting.kind == "plugin":
        return f"{label} on {label_of_network(setting.backbone)}"
    return label


def names_of(rows: pd.DataFrame) -> list[str]:
    """How the settings of ``rows`` are called, in planned order."""
    return [name_of(setting, rows) for setting in settings_of(rows)]


def label_of(
    method: str,
    label: str,
    own: Mapping[str, object],
    everyone: Sequence[Mapping[str, object]],
) -> str:
    """A row's label with its options, given those of all rows of its method."""
    varied = [name for name in own if _differs(name, everyone)]
    if not varied:
        return str(label)
    if len(varied) > 1:
        defaults = METHODS.get(method).Options().model_dump(mode="json")
        varied = [name for name in varied if own[name] != defaults[name]]
    texts = [option_text(name, own[name]) for name in varied]
    return f"{label} ({', '.join(texts) or 'default'})"


def option_text(name: str, value: object) -> str:
    """An option with its value as a reader sees it."""
    if isinstance(value, bool):
        value = "on" if value else "off"
    if value is None:
        value = "by default"
    return plain(f"{name} {value}")


def plain(name: str) -> str:
    """An identifier as words."""
    return name.replace("_", " ")


def dataset_label(name: str) -> str:
    """A dataset as printed; the name of one that is unknown here."""
    known = DATASETS.usable()[0]
    return known[name].label if name in known else name


def metric_words(column: Column) -> str:
    """A metric within a sentence: the head of its column without arrow and unit."""
    return re.split(r" [↓↑(]", column.title)[0]


def listed(words: Sequence[str]) -> str:
    """``words`` as a sentence has them: "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _differs(name: str, everyone: Sequence[Mapping[str, object]]) -> bool:
    return len({json.dumps(options.get(name)) for options in everyone}) > 1
