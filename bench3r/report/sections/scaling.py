"""Cost over frames: exponents, and from where on a method costs less than its backbone."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench3r.models.catalogue import label_of_network, reference_backbone
from bench3r.report.evidence import CostRow, RunEvidence
from bench3r.report.figures.growth import growth
from bench3r.report.growth import MEASURES, crossover_text, growths
from bench3r.report.section import Canvas, Figure, Section
from bench3r.report.tables import Table, number

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
        numbers: dict[str, object] = {"method": one.name, "options": one.options}
        texts = {"method": one.name}
        numbers |= one.exponents
        for title in MEASURES:
            what = title.split(" (")[0]
            numbers[f"less {what} from"] = one.crossovers[title]
            texts[f"exponent of {what}"] = number(one.exponents[title], ".2f")
            texts[f"less {what} from (frames)"] = crossover_text(one.crossovers[title], frames[0])
        raw.append(numbers)
        shown.append(texts)
    yield Table(
        name="scaling",
        title="Cost over frames",
        caption=run.first.about,
        shown=pd.DataFrame(shown),
        raw=pd.DataFrame(raw),
        notes=_notes(frames[-1], run.first.baseline()),
    )


def _notes(last: int, baseline: str) -> list[str]:
    reference = label_of_network(reference_backbone())
    return [
        "Exponent: slope of log cost over log frames, least squares over the upper half of the "
        "measured counts: 1 is linear, 2 quadratic.",
        "less ... from: the number of frames from which on the method costs less than its "
        f"unchanged backbone (pairwise models: than {reference}), interpolated between measured "
        f'counts on log axes; "not measured to" when it still costs more at the largest, {last:,}. '
        f"Times are compared with the backbone's own calls, in {baseline}, taken in turn.",
        "Peak memory is that of the whole process; where it hardly grows, libraries and weights "
        "are most of it.",
    ]


def scaling_figure(canvas: Canvas) -> Iterator[Figure]:
    """Time, memory and FLOPs over frames."""
    costs = measured_over_frames(canvas.run)
    if costs:
        yield Figure("Cost over frames.", growth(growths(costs), canvas.folder))


SECTION = Section("scaling", 190, "length", run_tables=scaling_table, figures=scaling_figure)
