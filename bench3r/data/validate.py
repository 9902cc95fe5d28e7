"""Validate a whole data root before any GPU time is spent: every scene and frame is read.

Several processes share the scenes. Frames are read one after the other and dropped again; the
reprojection check sees small groups spread over a sequence.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from pydantic import BaseModel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench3r.api.dataset import DATASETS, Dataset
from bench3r.api.errors import Bench3RError
from bench3r.data.frames import check_frames, read_frame
from bench3r.files import write_json

GROUPS = 5  # groups of frames that go through the reprojection check
GROUP = 6  # frames in each
SHOWN = 20  # problems kept per scene; more are counted


class SceneReport(BaseModel):
    """What one scene holds and what is wrong with it."""

    scene: str
    frames: int = 0  # with a valid pose
    read: int = 0
    unreadable: int = 0
    sizes: list[str] = []  # of the images, WIDTHxHEIGHT
    depth_coverage: float | None = None  # mean share of pixels with depth
    surface: int | None = None  # points of the scanned surface
    reprojection_error: float | None = None  # largest median of the groups
    problems: list[str] = []


class RootReport(BaseModel):
    """What a data root holds and what is wrong with it."""

    dataset: str
    root: str
    every: int  # every n-th frame was read
    scenes: int
    frames: int = 0
    read: int = 0
    unreadable: int = 0
    broken: list[str] = []  # scenes with problems
    details: list[SceneReport]


def groups(count: int) -> list[list[int]]:
    """Places of the frames of up to ``GROUPS`` groups, each spread over its own stretch of frames.

    The stretches share ``count`` frames.
    """
    if count < 2:
        return []
    number = max(1, min(GROUPS, count // GROUP))
    edges = np.linspace(0, count, number + 1).astype(int)
    out = []
    for first, end in itertools.pairwise(edges):
        places = np.linspace(first, end - 1, min(GROUP, end - first)).round().astype(int)
        out.append(sorted(set(places.tolist())))
    return out


def check_scene(name: str, root: str, scene: str, every: int) -> SceneReport:
    """Read every ``every``-th frame of a scene and those of the reprojection check."""
    dataset = DATASETS.get(name)(Path(root))
    report = SceneReport(scene=scene)
    try:
        frames = dataset.frames(scene)
    except Bench3RError as error:
        report.problems.append(str(error))
        return report
    report.frames = len(frames)
    if not frames:
        report.problems.append("no frame with a valid pose")
    _read_frames(dataset, frames[::every], report)
    _read_surface(dataset, report)
    if dataset.has_pose and not report.unreadable:
        _check_reprojection(dataset, frames, report)
    return report


def _read_frames(dataset: Dataset, frames: list[str], report: SceneReport) -> None:
    sizes = set()
    covered = []
    for frame in frames:
        try:
            read = read_frame(dataset, report.scene, frame)
        except Bench3RError as error:
            report.unreadable += 1
            if len(report.problems) < SHOWN:
                report.problems.append(str(error))
            continue
        report.read += 1
        height, width = read.image.shape[:2]
        sizes.add(f"{width}x{height}")
        if read.depth is not None:
            covered.append(float((read.depth > 0).mean()))
    report.sizes = sorted(sizes)
    report.depth_coverage = float(np.mean(covered)) if covered else None


def _read_surface(dataset: Dataset, report: SceneReport) -> None:
    try:
        points = dataset.surface(report.scene)
    except Bench3RError as error:
        report.problems.append(str(error))
        return
    report.surface = None if points is None else len(points)


def _check_reprojection(dataset: Dataset, frames: list[str], report: SceneReport) -> None:
    errors = []
    for places in groups(len(frames)):
        try:
            names = [frames[i] for i in places]
            group = [read_frame(dataset, report.scene, name) for name in names]
            result = check_frames(dataset, report.scene, names, group)
        except Bench3RError as error:
            report.problems.append(str(error))
            continue
        if result.median is not None:
            errors.append(result.median)
    report.reprojection_error = max(errors) if errors else None


def validate(
    name: str, root: Path, out: Path, scenes: int | None = None, every: int = 1, workers: int = 0
) -> RootReport:
    """Check all scenes under ``root`` (or the first ``scenes``) and write the report to ``out``.

    Raises Bench3RError for a missing root and when no scene is there.
    """
    cls = DATASETS.get(name)
    names = cls(root).scenes()[:scenes]
    if not names:
        raise Bench3RError(f"{name}: no scene found under {root}. {cls.obtain}")
    found = {r.scene: r for r in _reports(name, root, names, every, workers or os.cpu_count() or 1)}
    report = RootReport(
        dataset=name,
        root=os.path.abspath(root),
        every=every,
        scenes=len(names),
        details=[found[n] for n in names],
    )
    for row in report.details:
        report.frames += row.frames
        report.read += row.read
        report.unreadable += row.unreadable
        if row.problems:
            report.broken.append(row.scene)
    write_json(out, report.model_dump(mode="json"))
    return report


def _reports(
    name: str, root: Path, names: list[str], every: int, workers: int
) -> Iterator[SceneReport]:
    """The reports of all scenes, in the order in which they are ready."""
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
                problem = f"{type(error).__name__}: {error}"
                yield SceneReport(scene=jobs[job], problems=[problem])
