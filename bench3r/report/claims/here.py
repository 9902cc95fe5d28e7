"""What a run has of a method: the setting that stands for it, its values by scene, its records."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from bench3r.api.method import METHODS
from bench3r.models.catalogue import reference_backbone
from bench3r.report.claims.rules import Options
from bench3r.report.claims.rules_here import Choice
from bench3r.report.columns import Column
from bench3r.report.evidence import Evidence
from bench3r.report.names import option_text
from bench3r.report.settings import SCENE, Setting, rows_of_setting, settings_of
from bench3r.report.summary import over_seeds, wide
from bench3r.run import paths

BY_SCENE = [name for name in SCENE if name != "seed"]


def defaults_of(method: str) -> Options:
    """The options of ``method`` that nobody gives, as records have them."""
    return dict(METHODS.get(method).Options().model_dump(mode="json"))


def has_defaults(setting: Setting, wanted: Options) -> bool:
    """Whether the options are the method's defaults but for ``wanted``."""
    return bool(setting.values == {**defaults_of(setting.method), **wanted})


def setting_of(e: Evidence, choice: Choice) -> Setting | None:
    """The one setting of the run that stands for ``choice`` in every claim; None without one.

    Its options are the defaults but for those of the choice. A method that the run has with other
    options alone is judged by the first that the run's configuration names: a claim's quality and
    its time are always those of the same setting.
    """
    own = []
    for setting in settings_of(e.table):
        where = setting.backbone in (reference_backbone(), setting.method)
        if setting.method == choice.method and where:
            own.append(setting)
    for setting in own:
        if has_defaults(setting, choice.options):
            return setting
    return own[0] if own and not choice.options else None


def reference_setting(e: Evidence) -> Setting | None:
    """The unchanged backbone that claims compare with."""
    return setting_of(e, Choice(method=reference_backbone()))


def name_of_setting(setting: Setting) -> str:
    """A setting with the options that are not at their defaults."""
    defaults = defaults_of(setting.method)
    changed = []
    for name, value in setting.values.items():
        if value != defaults.get(name):
            changed.append(option_text(name, value))
    return f"{setting.label} ({', '.join(changed)})" if changed else setting.label


def name_of_choice(choice: Choice) -> str:
    """A choice as it is printed."""
    label = METHODS.get(choice.method).label
    given = ", ".join(option_text(name, value) for name, value in choice.options.items())
    return f"{label} ({given})" if given else label


def scores(e: Evidence, column: Column, setting: Setting) -> pd.Series:
    """Values of ``column`` by scene, seeds averaged; empty without any."""
    own = rows_of_setting(e.table, setting)
    values = over_seeds(wide(own, column))
    if values.empty:
        return pd.Series(dtype=float)
    return values.iloc[:, 0].dropna()


def facts(e: Evidence, setting: Setting, name: str) -> pd.Series:
    """A fact that is a number, by scene, seeds averaged; empty where it was not recorded."""
    rows = e.facts_of(setting)
    values = pd.to_numeric(rows[name], errors="coerce").groupby([rows[key] for key in BY_SCENE])
    return values.mean().dropna()


def flops(e: Evidence, setting: Setting) -> pd.Series:
    """FLOPs by scene, counted on the very input of each prediction."""
    return facts(e, setting, "flops")


def shares(e: Evidence, setting: Setting, depths: Iterable[int], scene_type: str = "") -> pd.Series:
    """Share of patches at recursion ``depths`` by scene, in per cent; of one type of scenes or all.

    Empty where no depths were recorded.
    """
    rows = e.facts_of(setting)
    rows = rows[rows["depth_histogram"].notna()]
    if scene_type:
        rows = rows[rows["scene_type"].eq(scene_type)]
    chosen = list(depths)
    each = []
    for histogram in rows["depth_histogram"]:
        counts = np.asarray(histogram, float)
        inside = [counts[depth] for depth in chosen if depth < len(counts)]
        each.append(100 * sum(inside) / max(1.0, counts[1:].sum()))
    found = pd.Series(each, index=rows.index, dtype=float)
    return found.groupby([rows[key] for key in BY_SCENE]).mean()


def score_records(e: Evidence, settings: Iterable[Setting]) -> tuple[str, ...]:
    """The files with the scores of ``settings`` and the predictions behind them."""
    found = []
    for setting in settings:
        for cell in rows_of_setting(e.table, setting)["cell"].unique():
            found.append(str(paths.scored(e.plan.name, cell)))
            found.append(str(paths.predicted(e.plan.name, cell)))
    return tuple(found)


def predict_records(e: Evidence, settings: Iterable[Setting]) -> tuple[str, ...]:
    """The files with what ``settings`` recorded of their predictions."""
    found = []
    for setting in settings:
        for cell in e.facts_of(setting)["cell"].dropna().unique():
            found.append(str(paths.predicted(e.plan.name, cell)))
    return tuple(found)


def profile_records(e: Evidence, settings: Iterable[Setting]) -> tuple[str, ...]:
    """The files with the measured costs of ``settings``."""
    costs = [e.cost_of(setting) for setting in settings]
    return tuple(str(e.record_of(cost)) for cost in costs if cost is not None)


def largest_loss(e: Evidence, setting: Setting, column: str) -> tuple[float, int] | None:
    """The largest value that a term of the loss had in the training of ``setting``, and the steps.

    None where there is no training curve, or none with that term.
    """
    for cell in e.plan.cells:
        same = cell.method == setting.method and cell.options == setting.values
        if not same or cell.backbone != setting.backbone or cell.trained is None:
            continue
        path = paths.trained(e.plan.name, cell.trained).with_suffix(".csv")
        if path.exists():
            curve = pd.read_csv(path)
            if column in curve and len(curve):
                return float(curve[column].max()), len(curve)
    return None
