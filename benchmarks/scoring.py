"""Scoring point clouds beside plain scipy: time over sizes, and memory at ten million points.

    python benchmarks/scoring.py               100,000 and 1,000,000 points, memory at 10,000,000
    python benchmarks/scoring.py --points 1e5  one size, no memory run

Accuracy, completeness, Chamfer distance, normal consistency and F-score of two clouds on a surface.
"plain" is what scipy gives without sharing anything: every metric builds its trees and searches
again, on one thread. Exit code 1 when ours is slower, or when a pair of clouds of ten million
points adds more than 1 kB a point.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import psutil
from scipy.spatial import cKDTree

from bench3r.metrics import clouds

BYTES_A_POINT = 1000  # of both clouds together, on top of the clouds themselves
THRESHOLD = 0.02
Metrics = dict[str, float]


def pair(points: int) -> tuple[np.ndarray, np.ndarray]:
    """A predicted and an exact cloud, each [N, 3], on a wavy surface."""
    rng = np.random.default_rng(0)
    plane = rng.uniform(0, 4, (points, 2))
    exact = np.column_stack([plane, np.sin(3 * plane[:, 0]) * np.cos(plane[:, 1])])
    return exact + rng.normal(0, 0.01, exact.shape), exact


def ours(predicted: np.ndarray, exact: np.ndarray, with_normals: bool, workers: int) -> Metrics:
    """All metrics of two clouds [N, 3] by Bench3R."""
    both = clouds.pair_of(predicted, exact, workers)
    out = {**clouds.accuracy_completeness(both), **clouds.fscore(both, THRESHOLD)}
    return {**out, **(clouds.normal_consistency(both) if with_normals else {})}


def plain(predicted: np.ndarray, exact: np.ndarray) -> Metrics:
    """The metrics of two clouds [N, 3] by scipy alone."""
    accuracy, _ = cKDTree(exact).query(predicted)
    completeness, _ = cKDTree(predicted).query(exact)
    chamfer = (accuracy.mean() + completeness.mean()) / 2
    accuracy, _ = cKDTree(exact).query(predicted)
    completeness, _ = cKDTree(predicted).query(exact)
    precision = (accuracy < THRESHOLD).mean()
    recall = (completeness < THRESHOLD).mean()
    fscore = 2 * precision * recall / (precision + recall)
    own = plain_normals(predicted)
    others = plain_normals(exact)
    _, there = cKDTree(exact).query(predicted)
    _, back = cKDTree(predicted).query(exact)
    first = np.abs((own * others[there]).sum(1)).mean()
    second = np.abs((others * own[back]).sum(1)).mean()
    return {"chamfer": chamfer, "fscore": fscore, "nc_mean": (first + second) / 2}


def plain_normals(cloud: np.ndarray) -> np.ndarray:
    """Normals [N, 3] of a cloud [N, 3] from its nearest neighbours."""
    near = cKDTree(cloud).query(cloud, k=clouds.NORMAL_NEIGHBOURS)[1]
    around = cloud[near] - cloud[near].mean(1, keepdims=True)
    return np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))[1][:, :, 0]


def seconds(call: Callable[[], Metrics]) -> tuple[float, Metrics]:
    """Time of ``call`` and what it returns."""
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def compare(points: int) -> bool:
    """Print times of both at ``points``; whether ours are the same numbers, and not slower."""
    predicted, exact = pair(points)
    base, expected = seconds(partial(plain, predicted, exact))
    good = True
    for workers in (1, 2):
        mine, found = seconds(partial(ours, predicted, exact, True, workers))
        same = all(abs(found[k] - v) <= 1e-9 * abs(v) for k, v in expected.items())
        good &= same and mine <= base
        times = f"{mine:7.2f} s with {workers} workers, plain scipy {base:7.2f} s"
        mark = "" if same else "  OTHER NUMBERS"
        print(f"{points:>10,} points: {times}, x {base / mine:.2f}{mark}", flush=True)
    return good


def memory(points: int) -> None:
    """Print the bytes that scoring ``points`` adds; run in a process of its own."""
    predicted, exact = pair(points)
    process = psutil.Process()
    over = threading.Event()
    before = process.memory_info().rss
    peak = [0]

    def watch() -> None:
        while not over.wait(0.05):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    taken, _ = seconds(partial(ours, predicted, exact, False, 2))
    over.set()
    watcher.join()
    print(f"{peak[0] - before} {taken}")


def memory_is_bounded(points: int) -> bool:
    """Print what scoring ``points`` takes in a fresh process; whether memory stays in bounds."""
    command = [sys.executable, __file__, "--memory", str(points)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    added, taken = map(float, done.stdout.split())
    bound = BYTES_A_POINT * points
    added_text = f"{added / 1e9:.2f} GB added (at most {bound / 1e9:g})"
    print(f"{points:>10,} points: {taken:.0f} s without normals, {added_text}")
    return added <= bound


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=float, nargs="+")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        memory(arguments.memory)
        return 0
    good = True
    for points in arguments.points or (1e5, 1e6):
        good &= compare(int(points))
    if not arguments.points:
        good &= memory_is_bounded(10_000_000)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
