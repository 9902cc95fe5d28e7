"""What methods save in time, paired with the unchanged backbone: at one length, over lengths."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench3r.models.catalogue import reference_of
from bench3r.report.captions import cost_caption
from bench3r.report.costs import CostRow
from bench3r.report.evidence import Evidence
from bench3r.report.figures.growth import speed_up
from bench3r.report.figures.ratios import Saving, time_ratios
from bench3r.report.growth import growths
from bench3r.report.names import name_of
from bench3r.report.section import Canvas, Figure, Section
from bench3r.report.settings import settings_of


def speed_figures(canvas: Canvas) -> Iterator[Figure]:
    """The ratios of the first frame count, and the speed-up over all that were measured."""
    e = canvas.run.first
    ratios = time_ratios(savings_of(e), canvas.folder)
    about = cost_caption(e, e.measured())
    yield Figure(
        f"Time over the unchanged backbone's at {e.frames} frames: calls taken in turn in one "
        "process, the median of their ratios with its 95 % interval, beside the ratio of counted "
        f"FLOPs. Open markers: suspect, because calls differ by too much. {about}",
        ratios,
    )
    costs = [cost for cost in e.costs if cost.ok]
    if len({cost.frames for cost in costs}) > 1:
        yield Figure(
            "Speed-up over frames: how many times as fast as the unchanged backbone, of calls "
            f"taken in turn, with 95 % intervals. Open markers: suspect. {cost_caption(e, costs)}",
            speed_up(growths(costs), canvas.folder),
        )


def savings_of(e: Evidence) -> list[Saving]:
    """Every setting that was timed in turn with its unchanged backbone."""
    rows = e.ranked(e.everywhere())
    found = []
    for setting in settings_of(rows):
        cost = e.profile_of(setting)
        if cost is None or cost.ratio is None or cost.is_unchanged:
            continue
        share = cost.flops / _backbone_flops(e, cost)
        found.append(Saving(name_of(setting, rows), setting.method, cost.ratio, share))
    return found


def _backbone_flops(e: Evidence, cost: CostRow) -> float:
    """FLOPs of the unchanged backbone on the input of ``cost``; NaN when not counted."""
    for other in e.measured():
        if other.is_unchanged and other.method == reference_of(cost.backbone):
            return other.flops
    return math.nan


SECTION = Section("speed", 15, "methods", figures=speed_figures)
