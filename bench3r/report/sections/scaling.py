"""Cost over frames: exponents, and from where on a method costs less than its backbone."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench3r.models.catalogue import label_of_network, reference_backbone
from bench3r.report.captions import cost_caption
from bench3r.report.columns import by_interval
from bench3r.report.evidence import CostRow, Evidence, RunEvidence
from bench3r.report.figures.growth import growth
from bench3r.report.growth import TIME, Growth, Slope, crossover_text, growths
from bench3r.report.section import Canvas, Figure, Section
from bench3r.report.tables import Table, number
from bench3r.report.time_columns import RATIO, ratio_note, ratio_text

FEWEST = 3  # frame counts that make a slope


def measured_over_frames(run: RunEvidence) -> list[CostRow]:
    """The measured costs of a run; none when they are of too few frame counts."""
    if not run.by_frames:
        return []
    costs = [cost for cost in run.first.costs if cost.ok]
    return costs if len(frames_of(costs)) >= FEWEST else []


def frames_of(costs: list[CostRow]) -> list[int]:
    """The frame counts of ``costs``, ascending."""
    return sorted({cost.frames for cost in costs})


def scaling_table(run: RunEvidence) -> Iterator[Table]:
    """Exponents and crossovers of time, memory and FLOPs."""
    costs = measured_over_frames(run)
    if not costs:
        return
    frames = frames_of(costs)
    raw = []
    shown = []
    for one in growths(costs):
        raw.append(_numbers(one))
        shown.append(_texts(one, frames))
    yield Table(
        name="scaling",
        title="Cost over frames",
        caption=cost_caption(run.first, costs),
        shown=pd.DataFrame(shown),
        raw=pd.DataFrame(raw),
        notes=_notes(frames[-1], run.first, costs),
    )


def _numbers(one: Growth) -> dict[str, object]:
    """The raw row of a method."""
    slope = one.ratio_exponent
    row: dict[str, object] = {"method": one.name, "options": one.options, **one.exponents}
    row["time_ratio_exponent"] = slope.value
    row |= {"time_ratio_exponent_low": slope.low, "time_ratio_exponent_high": slope.high}
    for title, found in one.crossovers.items():
        what = title.split(" (")[0]
        row[f"less {what} from"] = found.value
        if title == TIME:
            row |= {f"less {what} from, low": found.low, f"less {what} from, high": found.high}
    return row


def _texts(one: Growth, frames: list[int]) -> dict[str, str]:
    """The row of a method as a reader sees it."""
    last = one.ratios[-1] if one.frames[-1] == frames[-1] else None
    row = {
        "method": one.name,
        f"{RATIO} at {frames[-1]:,}": ratio_text(last),
        f"exponent of {RATIO}": _slope_text(one.ratio_exponent),
    }
    for title, found in one.crossovers.items():
        what = title.split(" (")[0]
        row[f"exponent of {what}"] = number(one.exponents[title], ".2f")
        row[f"less {what} from (frames)"] = crossover_text(found, frames[0])
    return row


def _slope_text(slope: Slope) -> str:
    return by_interval(slope.value, slope.low, slope.high, digits=2, noise=0.01, signed=True)


def _notes(last: int, e: Evidence, costs: list[CostRow]) -> list[str]:
    reference = label_of_network(reference_backbone())
    return [
        ratio_note(e, costs),
        "Exponent: slope of log cost over log frames, least squares over the upper half of the "
        "measured counts: 1 is linear, 2 quadratic.",
        f"That of {RATIO} is of paired ratios, with the 95 % interval that theirs give: below 0 "
        "the method gains on its backbone as sequences grow. That of time alone is of seconds from "
        "processes of their own, one per count, and compares no methods.",
        "less ... from: the number of frames from which on the method costs less than its "
        f"unchanged backbone (memory and FLOPs of whole models: than {reference}), interpolated "
        'between measured counts on log axes; "not measured to" when it still costs more at the '
        f"largest, {last:,}. Of time: by paired ratios, in brackets where the ends of their "
        "intervals cross 1; from the larger one on it pays beyond what pairs vary by.",
        "Peak memory is that of the whole process; where it hardly grows, libraries and weights "
        "are most of it.",
    ]


def scaling_figure(canvas: Canvas) -> Iterator[Figure]:
    """Time, memory and FLOPs over frames."""
    costs = measured_over_frames(canvas.run)
    if costs:
        yield Figure("Cost over frames.", growth(growths(costs), canvas.folder))


SECTION = Section("scaling", 190, "length", run_tables=scaling_table, figures=scaling_figure)
