"""What a run has no value for, and why: scenes, metrics, costs."""

from __future__ import annotations

import pandas as pd

from bench3r.api.errors import Bench3RError
from bench3r.protocols import PROTOCOLS
from bench3r.report.columns import column_of
from bench3r.report.costs import CostRow
from bench3r.report.evidence import RunEvidence
from bench3r.report.names import dataset_label, metric_words
from bench3r.report.summary import missing_costs, missing_results
from bench3r.report.tables import MISSING, Table

NAME = "missing"
NONE = "Nothing: every planned scene has every metric, every planned cost is measured."
HEADS = {"label": "method", "metric": "what", "scenes": "scenes"}
WHERE = ["label", "dataset", "status", "metric", "scenes", "reason"]


def missing_table(run: RunEvidence) -> Table:
    """Everything that is missing, with its reason; without a row, and saying so, when nothing is.

    Costs are those of all frame counts.
    """
    costs = run.by_frames[0].costs if run.by_frames else []
    scores = missing_results(run.table)
    parts = [scores, missing_costs(costs), lacking_values(costs)]
    raw = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    shown = raw.assign(
        dataset=list(map(dataset_label, raw["dataset"])),
        metric=list(map(metric_text, raw["metric"])),
    ).rename(columns=HEADS)
    caption = "What has no value, and why." if len(raw) else NONE
    title = "Missing results"
    return Table(NAME, title, caption, shown, raw, chapter="missing")


def lacking_values(costs: list[CostRow]) -> pd.DataFrame:
    """Values that measured costs lack, in the columns of ``missing_costs``."""
    rows = []
    for cost in costs:
        for lack in cost.lacks:
            what = f"{lack.what} of {cost.frames} frames"
            rows.append((cost.label, MISSING, "not measured", what, MISSING, lack.reason))
    return pd.DataFrame(rows, columns=WHERE).drop_duplicates()


def metric_text(key: str) -> str:
    """A metric, or what else is missing, as a reader sees it."""
    if "/" not in key:
        return key
    try:
        label = PROTOCOLS.get(key.split("/")[0]).title
        return f"{metric_words(column_of(key))}, {label}"
    except Bench3RError:
        return key
