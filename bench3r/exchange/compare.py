"""Two finished runs side by side: what got better, what got worse, what lies within noise. Nothing is mixed.

Scores are paired scene by scene, and only where the same rules (hash of the protocol) were applied to the same frames
(hash of the frame lists); everything else is listed as not comparable, with the reason.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench3r.api.errors import Bench3RError
from bench3r.exchange.bundle import RECORDS, verify
from bench3r.metrics.statistics import paired_bootstrap
from bench3r.report.tables import Table, label_of

SETTING = [
    "method",
    "label",
    "options",
    "backbone",
    "scale",
    "dataset",
    "frames",
    "protocol",
    "metric",
]
SAME = ["protocol_hash", "lists_sha256"]  # what must agree for two scores to be compared
HIGHER = re.compile(r"(^|_)(auc|rra|rta|fscore|f1|delta\d|nc|precision|recall)(\d|_|$)")
LOWER = re.compile(
    r"(^|_)(chamfer|cd|acc|comp|overall|absrel|sqrel|rmse|logrmse|mse|dmse|rot|trans|ate|are|rpe|deg|centre)(_|$)"
)


def read_records(source: Path) -> pd.DataFrame:
    """The tidy table of a result folder, of a parquet or CSV file, or of a bundle, whose hashes are checked first.

    Raises Bench3RError when there is none.
    """
    if source.is_dir():
        source = source / RECORDS
    if not source.is_file():
        raise Bench3RError(
            f"{source}: no records; expected a folder of results, a records file or a bundle"
        )
    whole: Any = source
    if zipfile.is_zipfile(source):
        verify(source)
        with zipfile.ZipFile(source) as bundle:
            if RECORDS not in bundle.namelist():
                raise Bench3RError(f"{source}: the bundle holds no {RECORDS}")
            whole = io.BytesIO(bundle.read(RECORDS))
    try:
        table = pd.read_csv(whole) if source.suffix == ".csv" else pd.read_parquet(whole)
    except (ValueError, OSError) as error:  # pandas and pyarrow raise kinds of these
        raise Bench3RError(f"{source}: no table of records ({error})") from error
    missing = [c for c in (*SETTING, *SAME, "scene", "value") if c not in table]
    if missing:
        raise Bench3RError(f"{source}: the table lacks {', '.join(missing)}; collect the run again")
    return table


def lower_is_better(metric: str) -> bool | None:
    """Whether less is better (errors, distances) or more is (shares, scores); None for what is neither."""
    if HIGHER.search(metric):
        return False
    return True if LOWER.search(metric) else None


def compare(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str]) -> Table:
    """Paired differences (second minus first) of every setting and metric that both runs have."""
    rows, apart = [], []
    left, right = (t[t["value"].notna()].groupby(SETTING, sort=False) for t in (first, second))
    for key in [k for k in left.groups if k in right.groups]:
        a, b = (g.get_group(key).drop_duplicates("scene").set_index("scene") for g in (left, right))
        scenes = a.index.intersection(b.index)
        named = dict(zip(SETTING, key, strict=True))
        if not len(scenes):
            apart.append({**named, "reason": "no scene in common"})
            continue
        wrong = [c for c in SAME if not (a.loc[scenes, c] == b.loc[scenes, c]).all()]
        if wrong:
            reason = {"protocol_hash": "other scoring rules", "lists_sha256": "other frames"}[
                wrong[0]
            ]
            apart.append({**named, "reason": reason})
            continue
        x, y = (t.loc[scenes, "value"].to_numpy(float) for t in (a, b))
        delta = paired_bootstrap(y, x) if len(scenes) > 1 else None
        difference = float((y - x).mean())
        clear = delta is not None and delta.excludes_zero
        way = lower_is_better(str(named["metric"]))
        changed = "differs" if way is None else "better" if (difference < 0) == way else "worse"
        verdict = "same" if np.array_equal(x, y) else changed if clear else "within noise"
        rows.append(
            {
                **named,
                "scenes": len(scenes),
                "first": x.mean(),
                "second": y.mean(),
                "difference": difference,
                "low": delta.low if delta else np.nan,
                "high": delta.high if delta else np.nan,
                "verdict": verdict,
            }
        )
    if not rows:
        reasons = sorted({r["reason"] for r in apart})
        why = f": {', '.join(reasons)}" if reasons else ": they share no setting and metric"
        raise Bench3RError(f"{names[0]} and {names[1]} cannot be compared{why}")
    raw = pd.DataFrame(rows)
    return Table(
        "compare",
        f"{names[1]} against {names[0]}",
        _about(first, second, names),
        _shown(raw),
        raw,
        _notes(raw, apart),
    )


def _shown(raw: pd.DataFrame) -> pd.DataFrame:
    """What a reader looks at: differences that are clear, worst first; of unchanged rows only the number is given."""
    kept = raw[raw["verdict"].isin(["better", "worse", "differs"])].sort_values(
        "verdict", ascending=False, kind="stable"
    )
    options = {m: [_options(o) for o in g.unique()] for m, g in raw.groupby("method")["options"]}
    return pd.DataFrame(
        {
            "method": [
                label_of(r.method, r.label, _options(r.options), options[r.method])
                for r in kept.itertuples()
            ],
            "dataset": kept["dataset"],
            "metric": kept["protocol"] + "/" + kept["metric"],
            "first": [f"{v:.4g}" for v in kept["first"]],
            "second": [f"{v:.4g}" for v in kept["second"]],
            "difference": [
                f"{r.difference:+.3g} [{r.low:+.3g}, {r.high:+.3g}]" for r in kept.itertuples()
            ],
            "scenes": kept["scenes"],
            "verdict": kept["verdict"],
        }
    )


def _options(text: str) -> dict[str, object]:
    return dict(json.loads(text))


def _about(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str]) -> str:
    parts = []
    for name, table in zip(names, (first, second), strict=True):
        devices, commits = (
            ", ".join(sorted(map(str, table[c].dropna().unique()))) for c in ("device", "git")
        )
        parts.append(f"{name}: {devices or 'unknown device'}, commit {commits[:60] or 'unknown'}")
    return "; ".join(parts) + "."


def _notes(raw: pd.DataFrame, apart: list[dict[str, object]]) -> list[str]:
    counted = raw["verdict"].value_counts()
    notes = [
        f"Settings and metrics in both: {', '.join(f'{n} {v}' for v, n in counted.items())}. Shown are those that changed: "
        "the 95 % interval of the paired difference over scenes is clear of zero.",
        "Which way is better follows from the metric's name (errors down, shares up).",
    ]
    if apart:
        reasons = pd.Series([str(r["reason"]) for r in apart]).value_counts()
        notes.append("Not compared: " + ", ".join(f"{n} for {r}" for r, n in reasons.items()) + ".")
    return notes
