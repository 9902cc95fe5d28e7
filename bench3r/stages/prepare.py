"""Prepare: scenes on disk, checked, with frame lists.

Procedural data are written in the dataset's official layout.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
from rich.progress import track

from bench3r.api.dataset import DATASETS, Dataset
from bench3r.api.errors import Bench3RError
from bench3r.data.frame_lists import FrameList, chosen_frames, load_list
from bench3r.data.frames import check_frames, read_frame
from bench3r.data.picked import pick_listed, pick_scenes
from bench3r.data.prepared import Prepared, SceneCheck, SceneItem, lists_digest, write_prepared
from bench3r.data.procedural import layout
from bench3r.data.procedural.seeds import TEST_SEEDS
from bench3r.run.plan import DatasetEntry

# Procedural scene i of seed s uses generator seed TEST_SEEDS + s * SEEDS_PER_RUN + i.
SEEDS_PER_RUN = 100_000

Lists = dict[str, list[SceneItem]]  # by frame count


def write_scenes(cls: type[Dataset], root: Path, first_seed: int, count: int, views: int) -> None:
    """Write the procedural scenes that are not there yet, each complete or not at all."""
    for index in track(range(count), f"render {cls.name}", transient=True):
        name = cls.procedural_scene_name(index)  # type: ignore[attr-defined]
        done = root / ".done" / name
        if done.exists():
            continue
        shutil.rmtree(root / name, ignore_errors=True)
        cls.write_procedural(root, name, index, first_seed + index, views)
        done.parent.mkdir(parents=True, exist_ok=True)
        done.touch()


def choose(frames: list[str], count: int, step: int | None, window: tuple[int, int]) -> list[str]:
    """``count`` frames of one stretch of ``frames``: every ``step``-th, or evenly spread.

    ``window``: the number of the stretch, and of how many. Raises Bench3RError when it is too
    short.
    """
    number, windows = window
    start = number * len(frames) // windows
    stop = (number + 1) * len(frames) // windows
    stretch = frames[start:stop]
    if len(stretch) < count or (step and (count - 1) * step >= len(stretch)):
        steps = f" in steps of {step}" if step else ""
        raise Bench3RError(f"{len(stretch)} frames are too few for {count}{steps}")
    if step:
        return stretch[: count * step : step]
    return [stretch[i] for i in np.linspace(0, len(stretch) - 1, count).round().astype(int)]


def frame_lists(dataset: Dataset, entry: DatasetEntry) -> Lists:
    """For every frame count the items, each a scene with its frames.

    Raises Bench3RError naming a scene that is missing or too short, and two that would share a name
    in the records.
    """
    if entry.frame_list:
        found = _published_lists(dataset, entry, load_list(entry.frame_list))
    else:
        found = _own_lists(dataset, entry)
    for items in found.values():
        names: dict[str, str] = {}
        for item in items:
            other = names.setdefault(item.id, item.scene)
            if other != item.scene:
                both = f"scenes {other} and {item.scene}"
                raise Bench3RError(f"{dataset.name}: {both} have the same name {item.id} in files")
    return found


def _frames(dataset: Dataset, scene: str) -> list[str]:
    """The frames of ``scene``. Raises Bench3RError when the dataset lists one twice."""
    frames = dataset.frames(scene)
    for name, times in Counter(frames).items():
        if times > 1:
            raise Bench3RError(f"{dataset.name} {scene}: frame {name} stands twice in the scene")
    return frames


def _own_lists(dataset: Dataset, entry: DatasetEntry) -> Lists:
    """The items of the configured scenes, their frames spread or in steps."""
    lists: Lists = {str(count): [] for count in entry.frames}
    for scene in pick_scenes(dataset, entry.scenes):
        frames = _frames(dataset, scene)
        for count in entry.frames:
            for number in range(entry.windows):
                suffix = f"-w{number:02d}" if entry.windows > 1 else ""
                try:
                    chosen = choose(frames, count, entry.step, (number, entry.windows))
                except Bench3RError as error:
                    raise Bench3RError(f"{dataset.name} {scene}: {error}") from error
                lists[str(count)].append(_item(scene, chosen, suffix))
    return lists


def _published_lists(dataset: Dataset, entry: DatasetEntry, wanted: FrameList) -> Lists:
    """The items of a published frame list."""
    lists: Lists = {str(count): [] for count in entry.frames}
    for listed, scene in pick_listed(dataset, entry.scenes, wanted).items():
        frames = _frames(dataset, scene)
        for count in entry.frames:
            if wanted.frames_by == "run":
                chosen = choose(frames, count, entry.step, (0, 1))
            else:
                chosen = chosen_frames(wanted, listed, frames, count)
            lists[str(count)].append(_item(scene, chosen))
    return lists


def _item(scene: str, frames: list[str], suffix: str = "") -> SceneItem:
    return SceneItem(id=scene.replace("/", "_") + suffix, scene=scene, frames=frames)


def check_scene(dataset: Dataset, item: SceneItem) -> SceneCheck:
    """Read the frames of ``item`` and compare their depth and poses; a failure is a check, too."""
    try:
        frames = [read_frame(dataset, item.scene, f) for f in item.frames]
        result = check_frames(dataset, item.scene, item.frames, frames)
    except Bench3RError as error:
        return SceneCheck(ok=False, note=str(error))
    return SceneCheck(ok=True, median_error=result.median, pairs=result.pairs, note=result.note)


def check_scenes(dataset: Dataset, lists: Lists) -> dict[str, SceneCheck]:
    """The check of every item with the most frames, by its id.

    Raises Bench3RError when none passes.
    """
    longest = lists[max(lists, key=int)]
    checks = {}
    for item in track(longest, f"check {dataset.name}", transient=True):
        checks[item.id] = check_scene(dataset, item)
    failed = [check.note for check in checks.values() if not check.ok]
    if failed and len(failed) == len(checks):
        raise Bench3RError(f"{dataset.name}: no scene passes its checks; the first: {failed[0]}")
    return checks


def render(entry: DatasetEntry, root: Path) -> None:
    """Write the procedural scenes of ``entry`` under ``root``."""
    cls = DATASETS.get(entry.name)
    root.mkdir(parents=True, exist_ok=True)
    first = TEST_SEEDS + entry.seed * SEEDS_PER_RUN
    layout.mark_procedural(root, str(cls.procedural_style), first)
    count = entry.scenes if isinstance(entry.scenes, int) else len(entry.scenes)
    write_scenes(cls, root, first, count, entry.views)


def prepare(entry: DatasetEntry, out: Path, data_folder: Path) -> Prepared:
    """Write the data (procedural) and ``out``: root, frame lists with their hash, checks.

    Raises Bench3RError for a missing root, and when every scene fails its checks; single broken
    scenes are listed and become records with status ``error`` later.
    """
    procedural = entry.root == "procedural"
    root = data_folder if procedural else Path(entry.root).expanduser()
    if procedural:
        render(entry, root)
    dataset = DATASETS.get(entry.name)(root, entry.intrinsics)
    lists = frame_lists(dataset, entry)
    result = Prepared(
        id=entry.id,
        name=entry.name,
        key=entry.key,
        root=os.path.abspath(root),
        procedural=procedural,
        frame_list=entry.frame_list,
        intrinsics=entry.intrinsics,
        lists=lists,
        lists_sha256=lists_digest(lists),
        checks=check_scenes(dataset, lists),
    )
    write_prepared(out, result)
    return result
