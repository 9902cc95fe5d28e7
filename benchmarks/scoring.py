"""Scoring point clouds beside plain scipy: time over sizes, and memory at ten million points.

    python benchmarks/scoring.py                      100,000 and 1,000,000 points, then memory at 10,000,000
    python benchmarks/scoring.py --points 1e5         one size, no memory run

Accuracy, completeness, Chamfer distance, normal consistency and F-score of two clouds on a surface. "plain" is what scipy
gives without sharing anything: every metric builds its trees and searches again, on one thread. Exit code 1 when ours is
slower, or when a pair of clouds of ten million points adds more than 1 kB a point.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
from scipy.spatial import cKDTree

from bench3r.metrics import clouds

BYTES_A_POINT = 1000  # of both clouds together, on top of the clouds themselves
THRESHOLD = 0.02


def pair(points: int) -> tuple[np.ndarray, np.ndarray]:
    """A predicted and a true cloud [N, 3] on a wavy surface."""
    rng = np.random.default_rng(0)
    plane = rng.uniform(0, 4, (points, 2))
    truth = np.column_stack([plane, np.sin(3 * plane[:, 0]) * np.cos(plane[:, 1])])
    return truth + rng.normal(0, 0.01, truth.shape), truth


def ours(
    predicted: np.ndarray, truth: np.ndarray, with_normals: bool, workers: int
) -> dict[str, float]:
    """All metrics by Bench3R."""
    both = clouds.pair_of(predicted, truth, workers)
    out = {
        **clouds.accuracy_completeness(both),
        **clouds.fscore(both, THRESHOLD),
    }
    return {**out, **(clouds.normal_consistency(both) if with_normals else {})}


def plain(predicted: np.ndarray, truth: np.ndarray, with_normals: bool) -> dict[str, float]:
    """The same by scipy alone."""
    a, b = cKDTree(truth).query(predicted)[0], cKDTree(predicted).query(truth)[0]
    out = {"chamfer": (a.mean() + b.mean()) / 2}
    a, b = cKDTree(truth).query(predicted)[0], cKDTree(predicted).query(truth)[0]
    p, r = (a < THRESHOLD).mean(), (b < THRESHOLD).mean()
    out["fscore"] = 2 * p * r / (p + r)
    if with_normals:
        normals = []
        for cloud in (predicted, truth):
            near = cKDTree(cloud).query(cloud, k=clouds.NORMAL_NEIGHBOURS)[1]
            around = cloud[near] - cloud[near].mean(1, keepdims=True)
            normals.append(np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))[1][:, :, 0])
        there, back = cKDTree(truth).query(predicted)[1], cKDTree(predicted).query(truth)[1]
        first = np.abs((normals[0] * normals[1][there]).sum(1)).mean()
        out["nc_mean"] = (first + np.abs((normals[1] * normals[0][back]).sum(1)).mean()) / 2
    return {k: float(v) for k, v in out.items()}


def seconds(call) -> tuple[float, dict[str, float]]:
    """Time of ``call`` and what it returns."""
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def compare(points: int) -> bool:
    """Print times of both at ``points``; whether ours are the same numbers, and not slower."""
    predicted, truth = pair(points)
    base, expected = seconds(lambda: plain(predicted, truth, True))
    good = True
    for workers in (1, 2):
        mine, found = seconds(lambda n=workers: ours(predicted, truth, True, n))
        same = all(abs(found[k] - v) <= 1e-9 * abs(v) for k, v in expected.items())
        good &= same and mine <= base
        print(
            f"{points:>10,} points: {mine:7.2f} s with {workers} workers, plain scipy {base:7.2f} s, x {base / mine:.2f}"
            f"{'' if same else '  OTHER NUMBERS'}",
            flush=True,
        )
    return good


def memory(points: int) -> None:
    """Print the bytes that scoring ``points`` adds; run in a process of its own."""
    predicted, truth = pair(points)
    process, peak, over = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not over.wait(0.05):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    taken, _ = seconds(lambda: ours(predicted, truth, False, 2))
    over.set()
    watcher.join()
    print(f"{peak[0] - before} {taken}")


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
    found = [
        compare(int(n)) for n in arguments.points or (1e5, 1e6)
    ]  # all of them, also after a bad one
    good = all(found)
    if not arguments.points:
        count = 10_000_000
        done = subprocess.run(
            [sys.executable, __file__, "--memory", str(count)],
            capture_output=True,
            text=True,
            check=True,
        )
        added, taken = map(float, done.stdout.split())
        good &= added <= BYTES_A_POINT * count
        print(
            f"{count:>10,} points: {taken:.0f} s without normals, {added / 1e9:.2f} GB added "
            f"(at most {BYTES_A_POINT * count / 1e9:g})"
        )
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
