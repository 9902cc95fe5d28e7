"""A sweep of thousands of tiny cells with injected faults: right counts, flat memory of the controller.

    python benchmarks/soak.py                2,000 cells (4,000 jobs) on two cores, every 20th with a fault
    python benchmarks/soak.py --cells 100 --without-server       what the job server saves

Runs Snakemake in a throw-away copy of the project. Cells are oracles, so their cost is that of the harness alone. Exit code
1 when a count is not what was planned, or the controller's memory grew by more than a fifth over the run's second half.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil
import yaml

ROOT = Path(__file__).resolve().parent.parent
GROWTH = 1.2  # of the controller's memory, second half of the run over its middle
FAULTS = {
    "raise": "error",
    "nan": "invalid",
    "die": "oom",
    "shape": "invalid",
}  # what is injected -> the record's status
PLUGIN = '''"""An oracle that fails on purpose in some cells."""

import os

from bench3r.api.method import METHODS
from bench3r.api.method import METHODS, Method, MethodOptions

FAULTS = {faults!r}


class Soak(Method):
    """Cell number ``i``."""

    name = "soak"
    label = "soak"
    kind = "control"
    conditions_on = ("ground_truth",)

    class Options(MethodOptions):
        i: int = 0

    def build(self, context):
        oracle = METHODS.get("oracle")().build(context)
        fault = FAULTS[self.options.i // {every} % len(FAULTS)] if self.options.i % {every} == 0 else None

        def predict(images, ground_truth):
            if fault == "raise":
                raise RuntimeError("injected")
            if fault == "die":
                os.kill(os.getpid(), 9)
            out = oracle(images, ground_truth)
            if fault == "nan":
                out.depth = out.depth * float("nan")
            if fault == "shape":
                out.depth = out.depth[:, :1]
            return out

        return predict
'''


def write_project(folder: Path, cells: int, every: int) -> None:
    """A copy of the project whose only run is the sweep."""
    for name in ("bench3r", "methods", "datasets", "workflows", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "methods" / "soak.py").write_text(PLUGIN.format(faults=list(FAULTS), every=every))
    config = {
        "name": "soak",
        "methods": {"soak": {"i": list(range(cells))}},
        "frames": [2],
        "protocols": ["depth_median"],
        "datasets": {"scannet": {"root": "procedural", "scenes": 1, "views": 2}},
    }
    (folder / "config" / "soak.yaml").write_text(yaml.safe_dump(config))


def run(folder: Path, cores: int) -> tuple[float, list[int]]:
    """Run the sweep to its collected table; seconds, and the controller's resident bytes every second."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "BENCH3R_ROOT": str(folder)}
    target = "results/soak/records.parquet"
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        str(cores),
        "--configfile",
        "config/soak.yaml",
        "--quiet",
        "all",
        "--scheduler",
        "greedy",
        "--keep-going",
        target,
    ]
    begin, seen = time.monotonic(), []
    with (folder / "soak.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        controller = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                seen.append(controller.memory_info().rss)
            except psutil.Error:
                break
            if len(seen) % 30 == 0:
                done = sum(1 for _ in (folder / "results/soak/score").glob("*.jsonl"))
                print(
                    f"{time.monotonic() - begin:6.0f} s, {done} cells scored, {seen[-1] / 1e6:.0f} MB",
                    flush=True,
                )
            time.sleep(1)
    if process.wait():
        sys.exit((folder / "soak.log").read_text()[-3000:])
    return time.monotonic() - begin, seen


def main() -> int:
    """Run and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--every", type=int, default=20, help="one cell in this many gets a fault")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--without-server", action="store_true", help="every job imports what it needs"
    )
    arguments = parser.parse_args()
    if arguments.without_server:
        os.environ["BENCH3R_SERVER"] = "/nowhere"  # named, so none is started; and nobody answers
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_project(folder, arguments.cells, arguments.every)
        seconds, memory = run(folder, arguments.cores)
        rows = pd.read_parquet(folder / "results/soak/records.parquet").drop_duplicates("cell")
    faulty = range(0, arguments.cells, arguments.every)
    names = list(FAULTS)
    expected = Counter(FAULTS[names[i // arguments.every % len(names)]] for i in faulty)
    expected["ok"] = arguments.cells - len(faulty)
    found = Counter(rows["status"])
    half = memory[len(memory) // 2 :]
    growth = max(half) / half[0]
    print(
        f"{arguments.cells} cells, {2 * arguments.cells} jobs on {arguments.cores} cores: {seconds:.0f} s, "
        f"{1000 * seconds / arguments.cells:.0f} ms a cell"
    )
    print(f"states {dict(found)}, planned {dict(expected)}{'' if found == expected else '  WRONG'}")
    print(
        f"controller: {memory[len(memory) // 4] / 1e6:.0f} MB after a quarter, at most {max(memory) / 1e6:.0f} MB, second "
        f"half x {growth:.2f} (at most {GROWTH:g})"
    )
    return int(found != expected or growth > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
