"""What a run measured under the conditions of a paper's number, or what it lacks for that."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pandas as pd

from bench3r.measure.pairs import Ratio
from bench3r.metrics.statistics import Interval
from bench3r.report.claims.conditions import Asked, Missing, name_of
from bench3r.report.claims.here import has_defaults
from bench3r.report.claims.ledger import Ledger
from bench3r.report.claims.rules import Case, Measurement, Subject
from bench3r.report.columns import column_of
from bench3r.report.costs import CostRow
from bench3r.report.evidence import RunEvidence
from bench3r.report.settings import rows_of_setting
from bench3r.report.summary import interval, over_seeds, weights_of, wide
from bench3r.run import paths

FEWEST_SCENES = 6  # of a paper's, for a mean to be held against its number


@dataclass(frozen=True)
class Found:
    """What a run measured."""

    value: float
    low: float
    high: float  # 95 % CI over scenes; of costs the value itself
    count: int  # scenes, or calls
    what: str  # of what so many
    status: str = "ok"
    records: tuple[str, ...] = ()  # files behind it

    def times(self, factor: float) -> Found:
        """The same in another unit."""
        return replace(
            self, value=self.value * factor, low=self.low * factor, high=self.high * factor
        )


def find(
    number: Measurement, subject: Subject, ledger: Ledger, run: RunEvidence
) -> Found | Missing:
    """What the run measured of ``subject`` for ``number``, in the unit of the records."""
    asked = Asked(number, subject, ledger, run)
    missing = asked.missing()
    if missing is not None:
        return missing
    return _cost_value(asked) if asked.is_cost else _score(asked)


def _scores(asked: Asked) -> tuple[pd.Series, tuple[str, ...]] | None:
    """The subject's value of every scene, and the files; None without its options."""
    rows = asked.rows()
    values = over_seeds(wide(rows, column_of(asked.number.quantity)))
    for setting in values.columns:
        if has_defaults(setting, asked.subject.options):
            cells = rows_of_setting(rows, setting)["cell"].unique()
            name = asked.run.plan.name
            files = [str(paths.scored(name, cell)) for cell in cells]
            files += [str(paths.predicted(name, cell)) for cell in cells]
            return values[setting].dropna(), tuple(files)
    return None


def _score(asked: Asked) -> Found | Missing:
    """Mean over scenes; what is missing where too few have a value."""
    rows = asked.rows()
    column = column_of(asked.number.quantity)
    if not (rows["protocol"].eq(column.protocol) & rows["metric"].eq(column.metric)).any():
        return Missing(asked.needs, (_why_unscored(rows, column.protocol),))
    known = _scores(asked)
    if known is None:
        return Missing(asked.needs, ("other options",))
    scenes, files = known
    fewest = min(FEWEST_SCENES, asked.place.scenes)
    if len(scenes) < fewest:
        return Missing(asked.needs, (f"values of {len(scenes)} scenes, fewer than {fewest}",))
    found = _mean(asked, scenes, interval(scenes, weights_of(rows, column)))
    return replace(found, records=files)


def _why_unscored(rows: pd.DataFrame, protocol: str) -> str:
    """Why ``rows`` have no scores of a protocol: the first failure, or it was not asked."""
    failed = rows[~rows["status"].eq("ok")]
    if failed.empty:
        return f"no scores of the protocol {protocol} there"
    first = failed.iloc[0]
    return f"no scores there ({first['status']}: {first['reason']})"


def _mean(asked: Asked, scenes: pd.Series, found: Interval | None) -> Found:
    assert found is not None
    count = len(scenes)
    whole = count >= asked.place.scenes
    return Found(
        value=found.mean,
        low=found.mean if whole else found.low,  # the paper's scenes are no sample
        high=found.mean if whole else found.high,
        count=count,
        what=f"of {asked.place.scenes} scenes",
    )


def _cost_value(asked: Asked) -> Found | Missing:
    """Time, memory or the maximum frame count of the setting; a failure is one, too."""
    row = asked.cost()
    if row is None:
        return Missing(asked.needs, ("other options",))
    if asked.place.device and row.device and not asked.right_device(row.device):
        return Missing(asked.needs, (row.device,))
    image = asked.place.image
    if image and row.image_size and any(row.image_size) and row.image_size != image:
        return Missing(asked.needs, (f"images of {_size(row.image_size)} for {_size(image)}",))
    files = _record(asked, row)
    if not row.ok and asked.number.quantity != "largest":
        if row.status == "oom":
            return Found(math.nan, math.nan, math.nan, 1, "try", row.status, files)
        return Missing(asked.needs, (f"{row.status}: {row.reason}",))
    value = _quantity(asked, row)
    if not math.isfinite(value):
        return Missing(asked.needs, (f"no {asked.number.quantity} in the record",))
    return Found(value, value, value, max(1, len(row.seconds)), "calls", records=files)


def _record(asked: Asked, row: CostRow) -> tuple[str, ...]:
    return (str(paths.profiled(asked.run.plan.name, row.cell)),) if row.cell else ()


def _quantity(asked: Asked, row: CostRow) -> float:
    if asked.number.quantity == "largest":
        return math.nan if row.largest is None else float(row.largest)
    return row.median_seconds if asked.number.quantity == "time" else row.peak_gpu_bytes


def scores_of(number: Measurement, subject: Subject, ledger: Ledger, run: RunEvidence) -> pd.Series:
    """The subject's values by scene; empty without any."""
    known = _scores(Asked(number, subject, ledger, run))
    return pd.Series(dtype=float) if known is None else known[0]


def paired_time(case: Case, ledger: Ledger, run: RunEvidence) -> Ratio | Missing:
    """The time of the case's ``of`` over that of its ``over``, each paired with its backbone.

    Where both are changed, over one backbone: one paired ratio over the other, which adds up what
    is uncertain of both. What is missing where one was not timed in turn with its backbone.
    """
    number = Measurement(place=case.place, quantity=case.quantity)
    ratios = []
    for subject in (case.of, case.over):
        asked = Asked(number, subject, ledger, run)
        row = asked.cost()
        assert row is not None, "the caller has found it"
        if row.ratio is None:
            has = f"{name_of(subject, ledger)} not timed in turn: {row.why_unpaired}"
            return Missing("calls in turn with the unchanged backbone", (has,))
        ratios.append(row.ratio)
    if case.of.backbone != case.over.backbone:
        needs = "calls in turn with one backbone"
        return Missing(needs, ("two backbones, whose times are not compared",))
    return _quotient(*ratios)


def _quotient(first: Ratio, second: Ratio) -> Ratio:
    """One paired ratio over another; one of them may be that of the backbone to itself."""
    changed = [one for one in (first, second) if not one.low == one.high == 1] or [first]
    return Ratio(
        first.value / second.value,
        first.low / second.high,
        first.high / second.low,
        min(one.n for one in changed),
        "; ".join(dict.fromkeys(one.suspect for one in changed if one.suspect)),
        " and ".join(dict.fromkeys(one.method for one in changed)),
    )


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
