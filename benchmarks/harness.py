"""What the harness itself costs, beside its bounds.

    python benchmarks/harness.py             all but the second Snakemake run
    python benchmarks/harness.py --run NAME  also a second run of configuration NAME, after its
                                             first, with nothing to do

Bounds: 10,000 cells planned in 25 s without importing torch; tracking under 2 % of a one-second
call; Chamfer and F-score of 1,000,000 points in 5 s on two cores; a second run in 5 s. Exit code 1
when one does not hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PLAN = 25.0  # seconds of planning
TRACKING = 0.02  # share of a call
CLOUD = 5.0  # seconds of scoring
SECOND = 5.0  # seconds of a second run
PLANNING = """
import json, sys, time
start = time.perf_counter()
from bench3r.run.torch_stub import leave_torch_out  # as `bench3r plan` does
leave_torch_out()
from bench3r.run.config import parse_config
from bench3r.run.planner import make_plan
raw = {
    "name": "many",
    "methods": {"early_exit": {"threshold": [i / 10000 for i in range(1, 3335)]}},
    "datasets": {d: {"root": "procedural"} for d in ("scannet", "dtu", "mipnerf360")},
    "profile": {"frames": [4]},
}
plan = make_plan(parse_config(raw, "many"))
seconds = time.perf_counter() - start
torch = hasattr(sys.modules.get("torch"), "__version__")
print(json.dumps({"cells": len(plan.cells), "seconds": seconds, "torch": torch}))
"""


def say(what: str, value: float, bound: float, unit: str) -> bool:
    """Print a value beside its bound; whether it holds."""
    good = value <= bound
    mark = "" if good else "  TOO MUCH"
    print(f"{what}: {value:.3g} {unit} (at most {bound:g}){mark}", flush=True)
    return good


def planning() -> bool:
    """Time to plan 10,000 cells in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", PLANNING], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found = json.loads(done.stdout.splitlines()[-1])
    imported = found["torch"]
    if imported:
        print("planning imported torch  TOO MUCH")
    return say(f"planning {found['cells']:,} cells", found["seconds"], PLAN, "s") and not imported


def tracking() -> bool:
    """Share of a one-second call that timer and memory tracker add, median over pairs of calls."""
    from bench3r.measure.trackers import MemoryTracker, Timer

    a = np.random.default_rng(0).random((700, 700))

    def work() -> None:
        for _ in range(60):
            a @ a

    for _ in range(2):  # warm-up
        work()
    repeats = max(1, round(1.0 / _seconds(work)))

    def call() -> None:
        for _ in range(repeats):
            work()

    def tracked() -> None:
        with MemoryTracker(), Timer():
            call()

    seconds = np.array([[_seconds(call), _seconds(tracked)] for _ in range(9)])
    added = np.median(seconds[:, 1] / seconds[:, 0]) - 1
    return say("tracking", float(added), TRACKING, "of a one-second call")


def cloud() -> bool:
    """Chamfer and F-score between two clouds of a million points on a surface."""
    from bench3r.metrics.clouds import fscore, pair_of

    rng = np.random.default_rng(0)
    line = np.linspace(0, 4, 1000)
    x, y = np.meshgrid(line, line)
    exact = np.stack([x, y, np.sin(x * 3) * np.cos(y)], -1).reshape(-1, 3)
    predicted = exact + rng.normal(0, 0.01, exact.shape)

    def score() -> None:
        fscore(pair_of(predicted, exact), 0.02)

    return say("scoring 1,000,000 points", _seconds(score), CLOUD, "s")


def second_run(config: str) -> bool:
    """A run with nothing to do."""
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "--quiet"]
    command += ["--configfile", f"config/{config}.yaml"]

    def run() -> None:
        subprocess.run(command, check=True, cwd=ROOT)

    run()
    return say(f"second run of {config}", _seconds(run), SECOND, "s")


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> int:
    """Run all; the exit code says whether every bound holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", metavar="NAME")
    arguments = parser.parse_args()
    good = [planning(), tracking(), cloud()]
    if arguments.run:
        good.append(second_run(arguments.run))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
