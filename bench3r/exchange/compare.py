"""Two finished runs side by side: what got better, what got worse, what lies within noise.

Scores are paired scene by scene, and only where the same rules (hash of the protocol) were applied
to the same frames (hash of the frame lists); everything else is listed as not comparable, with the
reason. Nothing is mixed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from bench3r.api.errors import Bench3RError
from bench3r.exchange.source import COMPARED, SAME
from bench3r.metrics.statistics import Interval, paired_interval
from bench3r.protocols import metric_of
from bench3r.report.names import label_of
from bench3r.report.tables import Table

CHANGED = ("better", "worse", "differs")


@dataclass(frozen=True)
class Change:
    """One metric of one setting in both runs; ``difference``: second minus first, over scenes."""

    method: str
    label: str
    options: str
    backbone: str
    scale: str
    dataset: str
    frames: int
    protocol: str
    metric: str
    scenes: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    verdict: str


def better_of(protocol: str, metric: str) -> Literal["higher", "lower", ""]:
    """The direction that the protocol declares; empty for what is neither or is not known here."""
    try:
        return metric_of(protocol, metric).better
    except Bench3RError:
        return ""  # a table of another version, or of somebody else's protocol


def compare(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str]) -> Table:
    """Paired differences (second minus first) of every setting and metric that both runs have.

    Raises Bench3RError when no setting and metric can be compared.
    """
    changes: list[Change] = []
    refused: list[str] = []
    left = first[first["value"].notna()].groupby(COMPARED, sort=False)
    right = second[second["value"].notna()].groupby(COMPARED, sort=False)
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
            changes.append(_change(old.loc[scenes], new.loc[scenes]))
    if not changes:
        reasons = ", ".join(sorted(set(refused))) or "they share no setting and metric"
        raise Bench3RError(f"{names[0]} and {names[1]} cannot be compared: {reasons}")
    raw = pd.DataFrame(changes)
    return Table(
        name="compare",
        title=f"{names[1]} against {names[0]}",
        caption=f"{_origin(names[0], first)}; {_origin(names[1], second)}.",
        shown=_shown(raw),
        raw=raw,
        notes=_notes(raw, refused),
    )


def _by_scene(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates("scene").set_index("scene")


def _refusal(old: pd.DataFrame, new: pd.DataFrame) -> str:
    """Why scores of common scenes cannot be compared; empty when they can."""
    if old.empty:
        return "no scene in common"
    for column, reason in SAME.items():
        if not (old[column] == new[column]).all():
            return reason
    return ""


def _change(old: pd.DataFrame, new: pd.DataFrame) -> Change:
    """What changed in one metric of one setting, over the scenes (rows) that both runs have."""
    before = old["value"].to_numpy(float)
    after = new["value"].to_numpy(float)
    interval = paired_interval(after, before) if len(before) > 1 else None
    difference = float((after - before).mean())
    compared = old[COMPARED].iloc[0].to_dict()
    better = better_of(compared["protocol"], compared["metric"])
    same = np.array_equal(before, after)
    return Change(
        **compared,
        scenes=len(before),
        first=float(before.mean()),
        second=float(after.mean()),
        difference=difference,
        low=interval.low if interval else np.nan,
        high=interval.high if interval else np.nan,
        verdict="same" if same else _verdict(difference, interval, better),
    )


def _verdict(difference: float, interval: Interval | None, better: str) -> str:
    """In words what a difference means; within noise when its 95 % CI includes zero."""
    if interval is None or not interval.excludes_zero:
        return "within noise"
    if not better:
        return "differs"
    return "better" if (difference < 0) == (better == "lower") else "worse"


def _shown(raw: pd.DataFrame) -> pd.DataFrame:
    """What a reader looks at: the changes, worst first; of all other rows a note has the count."""
    kept = raw[raw["verdict"].isin(CHANGED)]
    kept = kept.sort_values("verdict", ascending=False, kind="stable")
    options = raw.groupby("method")["options"].unique().to_dict()
    names = []
    differences = []
    for row in kept.itertuples():
        every = list(map(_options, options[row.method]))
        names.append(label_of(row.method, row.label, _options(row.options), every))
        differences.append(f"{row.difference:+.3g} [{row.low:+.3g}, {row.high:+.3g}]")
    return pd.DataFrame(
        {
            "method": names,
            "dataset": kept["dataset"].to_numpy(),
            "metric": (kept["protocol"] + "/" + kept["metric"]).to_numpy(),
            "first": kept["first"].map("{:.4g}".format).to_numpy(),
            "second": kept["second"].map("{:.4g}".format).to_numpy(),
            "difference": differences,
            "scenes": kept["scenes"].to_numpy(),
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
        "the 95 % CI of the paired difference over scenes excludes zero.",
        "Which way is better is what the protocol of each metric declares.",
    ]
    if refused:
        notes.append(f"Not compared: {_tally('for ' + pd.Series(refused))}.")
    return notes


def _tally(words: pd.Series) -> str:
    """How often every word occurs."""
    return ", ".join(f"{count} {word}" for word, count in words.value_counts().items())
