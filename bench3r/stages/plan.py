"""Plan: a configuration expanded into cells, without torch where that is enough."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bench3r.files import write_json
from bench3r.run.torch_stub import leave_torch_out

if TYPE_CHECKING:
    from bench3r.run.plan import Plan

WITH_TORCH = "BENCH3R_PLAN_WITH_TORCH"  # set when planning starts again with the real torch
FOLDER = Path(".bench3r")  # where plans lie


def plan(config: Path, out: Path | None) -> tuple[Plan, Path, list[str]]:
    """Make the plan and write it to ``out``; the plan, its file, and plug-ins that were left out.

    Starts this process again with torch when a plug-in computes something while it is planned, or
    when there is a mistake to be named. Raises Bench3RError for what cannot be planned.
    """
    with_stand_ins = not os.environ.get(WITH_TORCH) and leave_torch_out()
    try:
        made, warned = _make(config)
    except Exception:
        if not with_stand_ins:
            raise
        _again_with_torch(config, out)
    if warned and with_stand_ins:  # a plug-in may be broken for want of torch alone
        _again_with_torch(config, out)
    target = out or FOLDER / f"{made.name}.json"
    write_json(target, made.model_dump(mode="json"))
    return made, target, warned


def _make(config: Path) -> tuple[Plan, list[str]]:
    from bench3r.run.config import load_config
    from bench3r.run.planner import make_plan

    with warnings.catch_warnings(record=True) as warned:
        made = make_plan(load_config(config))
    return made, [str(one.message) for one in warned]


def _again_with_torch(config: Path, out: Path | None) -> NoReturn:
    """Replace this process by one that plans with the real torch."""
    os.environ[WITH_TORCH] = "1"
    arguments = ["plan", "--config", str(config)]
    if out:
        arguments += ["--out", str(out)]
    os.execv(sys.executable, [sys.executable, "-m", "bench3r", *arguments])


def summary(made: Plan, target: Path) -> str:
    """What a plan consists of, in one line."""
    return (
        f"{len(made.cells)} cells, {len(made.datasets)} datasets, {len(made.trainings)} trainings, "
        f"{len(made.profiles)} profiles; predictions take at most "
        f"{made.prediction_bytes / 1e6:.1f} MB; plan: {target}"
    )
