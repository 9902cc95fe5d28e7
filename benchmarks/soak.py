"""A sweep of thousands of tiny cells with injected faults: right counts, flat memory.

    python benchmarks/soak.py      2,000 cells (4,000 jobs) on two cores, every 20th with a fault
    python benchmarks/soak.py --cells 100 --without-server    what the job server saves

Runs Snakemake in a throw-away copy of the project. Cells are oracles, so their cost is that of the
harness alone. Exit code 1 when a count is not what was planned, or the controller's memory grew by
more than a fifth over the run's second half.
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
# what is injected, and the record's status
FAULTS = {"raise": "error", "nan": "invalid", "die": "oom", "shape": "invalid"}
SCORES = "results/soak/score"
RECORDS = "results/soak/records.parquet"
PLUGIN = '''"""An oracle that fails on purpose in some cells."""

import os

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
        number, rest = divmod(self.options.i, {every})
        fault = None if rest else FAULTS[number % len(FAULTS)]

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
    """Run the sweep to its collected table.

    Seconds, and the controller's resident bytes every second.
    """
    environment = {**os.environ, "PYTHONPATH": str(folder), "BENCH3R_ROOT": str(folder)}
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores)]
    command += ["--configfile", "config/soak.yaml", "--quiet", "all"]
    command += ["--scheduler", "greedy", "--keep-going", RECORDS]
    begin = time.monotonic()
    with (folder / "soak.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        seen = watch(process, folder)
    if process.wait():
        sys.exit((folder / "soak.log").read_text()[-3000:])
    return time.monotonic() - begin, seen


def watch(process: subprocess.Popen[bytes], folder: Path) -> list[int]:
    """The resident bytes of ``process`` every second until it ends, with a line now and then."""
    begin = time.monotonic()
    controller = psutil.Process(process.pid)
    seen: list[int] = []
    while process.poll() is None:
        try:
            seen.append(controller.memory_info().rss)
        except psutil.Error:
            break
        if len(seen) % 30 == 0:
            done = len(list((folder / SCORES).glob("*.jsonl")))
            spent = time.monotonic() - begin
            print(f"{spent:6.0f} s, {done} cells scored, {seen[-1] / 1e6:.0f} MB", flush=True)
        time.sleep(1)
    return seen


def planned(cells: int, every: int) -> Counter[str]:
    """How many cells should have each status."""
    statuses = list(FAULTS.values())
    faults = len(range(0, cells, every))
    expected = Counter(statuses[i % len(statuses)] for i in range(faults))
    expected["ok"] = cells - faults
    return expected


def memory_is_flat(memory: list[int]) -> bool:
    """Print how the controller's memory grew; whether it hardly did in the run's second half."""
    half = memory[len(memory) // 2 :]
    growth = max(half) / half[0]
    quarter = memory[len(memory) // 4]
    sizes = f"{quarter / 1e6:.0f} MB after a quarter, at most {max(memory) / 1e6:.0f} MB"
    print(f"controller: {sizes}, second half x {growth:.2f} (at most {GROWTH:g})")
    return growth <= GROWTH


def arguments_given() -> argparse.Namespace:
    """What the command line asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--every", type=int, default=20, help="one cell in this many gets a fault")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--without-server", action="store_true", help="every job imports what it needs"
    )
    return parser.parse_args()


def main() -> int:
    """Run and judge."""
    arguments = arguments_given()
    if arguments.without_server:
        os.environ["BENCH3R_SERVER"] = "/nowhere"  # named, so none is started; and nobody answers
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_project(folder, arguments.cells, arguments.every)
        seconds, memory = run(folder, arguments.cores)
        rows = pd.read_parquet(folder / RECORDS).drop_duplicates("cell")
    cells = arguments.cells
    jobs = f"{cells} cells, {2 * cells} jobs on {arguments.cores} cores"
    print(f"{jobs}: {seconds:.0f} s, {1000 * seconds / cells:.0f} ms a cell")
    expected = planned(cells, arguments.every)
    found = Counter(rows["status"])
    mark = "" if found == expected else "  WRONG"
    print(f"states {dict(found)}, planned {dict(expected)}{mark}")
    flat = memory_is_flat(memory)
    return int(found != expected or not flat)


if __name__ == "__main__":
    sys.exit(main())
