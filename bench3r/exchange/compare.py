"""Two finished runs side by side: what got better, what got worse, what lies within noise.

Scores are paired scene by scene, and only where the same rules (hash of the protocol) were applied
to the same frames (hash of the frame lists); everything else is listed as not comparable, with the
reason. Nothing is mixed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from bench3r.api.errors import Bench3RError
from bench3r.exchange.source import COMPARED, SAME
from bench3r.metrics.statistics import ALPHA, Interval, discoveries, mean_interval
from bench3r.protocols import PROTOCOLS, metric_of
from bench3r.protocols.base import Metric
from bench3r.report.cells import interval_notes
from bench3r.report.columns import by_interval
from bench3r.report.names import label_of
from bench3r.report.tables import Table

PLACE = ["dataset", "frames", "scene"]  # what one scene is in both runs
CHANGED = ("worse", "better", "differs", "too few scenes")  # verdicts that are shown, in order


class Compared(NamedTuple):
    """One metric of one setting, as COMPARED."""

    method: str
    label: str
    options: str
    backbone: str
    scale: str
    dataset: str
    frames: int
    protocol: str
    metric: str


class Found(NamedTuple):
    """What changed from the first run to the second; ``difference``: second minus first."""

    scenes: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    interval: str  # how it was made
    p: float  # corrected for all settings of the metric
    verdict: str


@dataclass(frozen=True)
class Paired:
    """One metric of one setting: its values on the scenes that both runs have."""

    compared: Compared
    before: pd.Series  # by scene, as PLACE
    after: pd.Series
    weights: pd.Series | None  # of scenes in means

    @property
    def family(self) -> tuple[str, str]:
        """What is corrected together: one metric of all settings."""
        return self.compared.protocol, self.compared.metric

    @property
    def difference(self) -> pd.Series:
        """The second run minus the first."""
        return self.after - self.before

    def mean(self, values: pd.Series) -> Interval:
        """Their mean over scenes, with its interval."""
        weights = None if self.weights is None else self.weights.to_numpy()
        return mean_interval(values.to_numpy(), weights)


def metric_known(protocol: str, metric: str) -> Metric | None:
    """The metric as its protocol declares it; None for what is not known here."""
    try:
        return metric_of(protocol, metric)
    except Bench3RError:
        return None


def compare(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str]) -> Table:
    """Paired differences (second minus first) of every setting and metric that both runs have.

    Raises Bench3RError when no setting and metric can be compared.
    """
    paired: list[Paired] = []
    refused: list[str] = []
    left = first[first["value"].notna()].groupby(COMPARED, sort=False)
    right = second[second["value"].notna()].groupby(COMPARED, sort=False)
    weights = scene_weights(first)
    both = right.groups
    for key in left.groups:
        if key not in both:
            continue
        old = _by_scene(left.get_group(key))
        new = _by_scene(right.get_group(key))
        scenes = old.index.intersection(new.index)
        why = _refusal(old.loc[scenes], new.loc[scenes])
        if why:
            refused.append(why)
        else:
            paired.append(_paired(old.loc[scenes], new.loc[scenes], weights))
    if not paired:
        reasons = ", ".join(sorted(set(refused))) or "they share no setting and metric"
        raise Bench3RError(f"{names[0]} and {names[1]} cannot be compared: {reasons}")
    raw = changes_of(paired)
    return Table(
        name="compare",
        title=f"{names[1]} against {names[0]}",
        caption=f"{_origin(names[0], first)}; {_origin(names[1], second)}.",
        shown=_shown(raw),
        raw=raw,
        notes=_notes(raw, refused),
    )


def scene_weights(table: pd.DataFrame) -> dict[str, pd.Series]:
    """By protocol the weight of every scene in means, where one weighs them."""
    out = {}
    for name, rows in table[table["value"].notna()].groupby("protocol"):
        metric = PROTOCOLS.get(name).weight if name in PROTOCOLS.files() else None
        own = rows[rows["metric"].eq(metric)]
        if len(own):
            out[str(name)] = own.groupby(PLACE)["value"].max()  # of the ground truth
    return out


def _by_scene(rows: pd.DataFrame) -> pd.DataFrame:
    seeds = ["seed"] if "seed" in rows else []
    return rows.drop_duplicates([*PLACE, *seeds]).set_index([*PLACE, *seeds])


def _refusal(old: pd.DataFrame, new: pd.DataFrame) -> str:
    """Why scores of common scenes cannot be compared; empty when they can."""
    if old.empty:
        return "no scene in common"
    for column, reason in SAME.items():
        if not (old[column] == new[column]).all():
            return reason
    return ""


def _paired(old: pd.DataFrame, new: pd.DataFrame, weights: dict[str, pd.Series]) -> Paired:
    """Values of the scenes (rows) that both runs have; the seeds of a scene are averaged."""
    compared = Compared._make(old.reset_index()[COMPARED].iloc[0])
    before = old["value"].astype(float).groupby(level=PLACE, sort=False).mean()
    after = new["value"].astype(float).groupby(level=PLACE, sort=False).mean()
    weight = weights.get(compared.protocol)
    if weight is not None:
        weight = weight.reindex(before.index)
        weight = None if weight.isna().any() else weight
    return Paired(compared, before, after, weight)


def changes_of(paired: list[Paired]) -> pd.DataFrame:
    """One row per comparison; the settings of a metric are one family of comparisons."""
    families: dict[tuple[str, str], list[Paired]] = {}
    for one in paired:
        families.setdefault(one.family, []).append(one)
    adjusted: dict[int, float] = {}
    for members in families.values():
        found = [one.mean(one.difference) for one in members]
        for one, p in zip(members, discoveries(found), strict=True):
            adjusted[id(one)] = p
    rows = []
    for one in paired:
        rows.append(one.compared._asdict() | _found(one, adjusted[id(one)])._asdict())
    return pd.DataFrame(rows)


def _found(one: Paired, p: float) -> Found:
    """What changed in one metric of one setting, over the scenes that both runs have."""
    found = one.mean(one.difference)
    first = one.mean(one.before).mean
    return Found(
        scenes=found.n,
        first=first,
        second=one.mean(one.after).mean,
        difference=found.mean,
        low=found.low,
        high=found.high,
        interval=found.method,
        p=p,
        verdict=verdict_of(found, first, p, metric_known(*one.family)),
    )


def verdict_of(found: Interval, first: float, p: float, metric: Metric | None) -> str:
    """In words what a difference from ``first`` means; ``p`` is corrected for its family."""
    if found.mean == 0 and found.low == found.high:
        return "same"
    if metric is not None and metric.tied(first, first + found.mean):
        return "within rounding"
    if not found.decides:
        return "too few scenes"
    if not found.excludes_zero or p > ALPHA:
        return "not told apart"
    if metric is None or not metric.better:
        return "differs"
    return "better" if (found.mean < 0) == (metric.better == "lower") else "worse"


def _shown(raw: pd.DataFrame) -> pd.DataFrame:
    """What a reader looks at: the changes, worst first; of all other rows a note has the count.

    With too few scenes those whose interval excludes zero, which is no proof.
    """
    excluded = raw["low"].gt(0) | raw["high"].lt(0)
    kept = raw[raw["verdict"].isin(CHANGED) & excluded]
    kept = kept.sort_values("verdict", key=lambda words: words.map(CHANGED.index), kind="stable")
    options = raw.groupby("method")["options"].unique().to_dict()
    names = []
    differences = []
    for row in kept.itertuples():
        every = list(map(_options, options[row.method]))
        names.append(label_of(row.method, row.label, _options(row.options), every))
        differences.append(by_interval(row.difference, row.low, row.high, signed=True))
    return pd.DataFrame(
        {
            "method": names,
            "dataset": kept["dataset"].to_numpy(),
            "metric": (kept["protocol"] + "/" + kept["metric"]).to_numpy(),
            "first": kept["first"].map("{:.4g}".format).to_numpy(),
            "second": kept["second"].map("{:.4g}".format).to_numpy(),
            "difference": differences,
            "n": kept["scenes"].to_numpy(),
            "verdict": kept["verdict"].to_numpy(),
        }
    )


def _options(text: str) -> dict[str, object]:
    return dict(json.loads(text))


def _origin(name: str, table: pd.DataFrame) -> str:
    """Name, device and commit of a run."""
    devices = ", ".join(sorted(map(str, table["device"].dropna().unique())))
    commits = ", ".join(sorted(map(str, table["git"].dropna().unique())))
    return f"{name}: {devices or 'unknown device'}, commit {commits[:60] or 'unknown'}"


def _notes(raw: pd.DataFrame, refused: list[str]) -> list[str]:
    notes = [
        f"Settings and metrics in both: {_tally(raw['verdict'])}. Shown are those that changed: "
        "the paired difference exceeds rounding, its 95 % CI excludes zero, and p ≤ 5 % corrected "
        "for all settings of the metric (Benjamini-Hochberg).",
        *interval_notes(set(raw["scenes"]), marks=False),
        "Which way is better is what the protocol of each metric declares.",
    ]
    if refused:
        notes.append(f"Not compared: {_tally('for ' + pd.Series(refused))}.")
    return notes


def _tally(words: pd.Series) -> str:
    """How often every word occurs."""
    return ", ".join(f"{count} {word}" for word, count in words.value_counts().items())
