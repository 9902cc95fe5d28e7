"""How settings are called in tables and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from bench3r.api.method import METHODS
from bench3r.models.catalogue import label_of_network
from bench3r.report.evidence import Setting, settings_of


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
    texts = [f"{name} {own[name]}" for name in varied]
    return f"{label} ({', '.join(texts) or 'default'})"


def _differs(name: str, everyone: Sequence[Mapping[str, object]]) -> bool:
    return len({json.dumps(options.get(name)) for options in everyone}) > 1
