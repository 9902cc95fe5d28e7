"""Methods against the plainly shallower control at their FLOPs, interpolated scene by scene."""

from __future__ import annotations

import itertools
import math

import numpy as np

from bench3r.api.method import METHODS
from bench3r.protocols import PROTOCOLS
from benchmarks.recompute.costs import Value, flops_on_scenes
from benchmarks.recompute.quality import family
from benchmarks.recompute.records import Part, Scene, Setting
from benchmarks.recompute.tables import Table

NEAR = 0.02  # of the FLOPs: equal cost


def equal_cost(table: Table) -> list[dict[str, Value]]:
    """Differences to the control of every row's cost, corrected for all rows."""
    records = table.records
    settings = dict.fromkeys([*records.main_settings(controls=False), *table.settings])
    part = Part(records, list(settings), table.datasets, table.frames)
    flops = {s: flops_on_scenes(part, s) for s in settings}
    out: list[dict[str, Value]] = [{"flops": flops[s]} for s in table.settings]
    names = dict.fromkeys(n.rpartition("/")[0] for n in table.rows[0] if n.endswith("/delta"))
    for name in names:
        protocol, metric = name.split("/")
        values = part.values(protocol, metric)
        scenes = sorted({scene for own in values.values() for scene in own})
        columns = {}
        for setting in table.settings:
            control = _control(values, flops, setting, scenes)
            if control is not None and setting in values:
                own = np.array([values[setting].get(s, math.nan) for s in scenes])
                columns[setting] = (own, control)
        found = family(PROTOCOLS.get(protocol).metric(metric), columns)
        for setting, numbers in zip(table.settings, out, strict=True):
            one = found.get(setting)
            cells = dict.fromkeys(("delta", "low", "high", "n", "p"), math.nan)
            if one is not None:
                d = one.found
                cells = {"delta": d.mean, "low": d.low, "high": d.high, "n": d.n, "p": one.p}
            numbers |= {f"{name}/{part_}": value for part_, value in cells.items()}
    return out


def _control(
    values: dict[Setting, dict[Scene, float]],
    flops: dict[Setting, float],
    setting: Setting,
    scenes: list[Scene],
) -> np.ndarray | None:
    """The control at the cost of ``setting``, by scene; None where there is none."""
    curve = []
    for one, spent in flops.items():
        is_control = METHODS.get(one.method).depth_control
        if is_control and one.backbone == setting.backbone and one in values:
            curve.append((spent, np.array([values[one].get(s, math.nan) for s in scenes])))
    curve.sort(key=lambda point: point[0])
    wanted = flops[setting]
    for (less, low), (more, high) in itertools.pairwise(curve):
        if less < wanted < more:
            share = (wanted - less) / (more - less)
            return low + share * (high - low)
    for spent, own in sorted(curve, key=lambda point: abs(point[0] - wanted)):
        return own if abs(spent / wanted - 1) <= NEAR else None
    return None
