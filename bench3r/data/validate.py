"""Validate a whole data root before any GPU time is spent: every scene and frame is read and checked, by several processes.

Frames are read one after the other and dropped again; the reprojection gate sees small groups spread over a sequence.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench3r.api.dataset import DATASETS, Dataset
from bench3r.api.errors import Bench3RError
from bench3r.data import reprojection
from bench3r.files import write_json

GROUPS, GROUP = 5, 6  # groups of frames that go through the gate, and frames in each
SHOWN = 20  # problems kept per scene; more are counted


def groups(count: int) -> list[list[int]]:
    """Places of the frames of up to ``GROUPS`` groups, each spread over its own stretch of ``count`` frames."""
    if count < 2:
        return []
    number = max(1, min(GROUPS, count // GROUP))
    edges = np.linspace(0, count, number + 1).astype(int)
    return [
        sorted(set(np.linspace(a, b - 1, min(GROUP, b - a)).round().astype(int).tolist()))
        for a, b in itertools.pairwise(edges)
    ]


def check_scene(name: str, root: str, scene: str, every: int) -> dict[str, Any]:
    """What one scene holds and what is wrong with it. Reads every ``every``-th frame and those of the gate."""
    dataset = DATASETS.get(name)(Path(root))
    found: dict[str, Any] = {
        "scene": scene,
        "frames": 0,
        "read": 0,
        "unreadable": 0,
        "problems": [],
        "gate": None,
    }
    try:
        frames = dataset.frames(scene)
    except Bench3RError as error:
        return {**found, "problems": [str(error)]}
    found["frames"] = len(frames)
    if not frames:
        found["problems"].append("no frame with a valid pose")
    sizes: set[tuple[int, ...]] = set()
    covered: list[float] = []
    for frame in frames[::every]:
        try:
            read = dataset.read(scene, frame)
        except Bench3RError as error:
            found["unreadable"] += 1
            if len(found["problems"]) < SHOWN:
                found["problems"].append(str(error))
            continue
        found["read"] += 1
        sizes.add(read.image.shape[:2])
        if read.depth is not None:
            covered.append(float((read.depth > 0).mean()))
    found["sizes"] = sorted(f"{w}x{h}" for h, w in sizes)
    found["depth_coverage"] = float(np.mean(covered)) if covered else None
    found["surface"] = _surface(dataset, scene, found["problems"])
    if dataset.has_pose and not found["unreadable"]:
        found["gate"] = _gate(dataset, scene, frames, found["problems"])
    return found


def _surface(dataset: Dataset, scene: str, problems: list[str]) -> int | None:
    """Points of the scanned surface; None where there is none."""
    try:
        points = dataset.surface(scene)
    except Bench3RError as error:
        problems.append(str(error))
        return None
    return None if points is None else len(points)


def _gate(dataset: Dataset, scene: str, frames: list[str], problems: list[str]) -> float | None:
    """Largest median reprojection error of the groups; None where nothing overlaps or there is no depth."""
    errors = []
    for places in groups(len(frames)):
        try:
            result = reprojection.check(
                [dataset.read(scene, frames[i]) for i in places], f"{dataset.name} {scene}"
            )
        except Bench3RError as error:
            problems.append(str(error))
            continue
        if result.median is not None:
            errors.append(result.median)
    return max(errors) if errors else None


def validate(
    name: str, root: Path, out: Path, scenes: int | None = None, every: int = 1, workers: int = 0
) -> dict[str, Any]:
    """Check all scenes under ``root`` (or the first ``scenes``) and write ``out``; returns what it wrote.

    Raises Bench3RError for a missing root and when no scene is there.
    """
    cls = DATASETS.get(name)
    names = cls(root).scenes()[:scenes]
    if not names:
        raise Bench3RError(f"{name}: no scene found under {root}. {cls.obtain}")
    rows = sorted(
        _all(name, root, names, every, workers or os.cpu_count() or 1),
        key=lambda r: names.index(r["scene"]),
    )
    result = {
        "dataset": name,
        "root": os.path.abspath(root),
        "every": every,
        "scenes": len(rows),
        "frames": sum(r["frames"] for r in rows),
        "read": sum(r["read"] for r in rows),
        "unreadable": sum(r["unreadable"] for r in rows),
        "broken": [r["scene"] for r in rows if r["problems"]],
        "details": rows,
    }
    write_json(out, result)
    return result


def _all(
    name: str, root: Path, names: list[str], every: int, workers: int
) -> Iterator[dict[str, Any]]:
    columns = (
        TextColumn(f"validate {name}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with (
        Progress(*columns, transient=True) as bar,
        ProcessPoolExecutor(min(workers, len(names))) as pool,
    ):
        task = bar.add_task("", total=len(names))
        jobs = {pool.submit(check_scene, name, str(root), scene, every): scene for scene in names}
        for job in as_completed(jobs):
            bar.advance(task)
            try:
                yield job.result()
            except Exception as error:  # a loader's fault in one scene must not hide the others
                yield {
                    "scene": jobs[job],
                    "frames": 0,
                    "read": 0,
                    "unreadable": 0,
                    "gate": None,
                    "problems": [f"{type(error).__name__}: {error}"],
                }
