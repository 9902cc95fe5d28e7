"""Which scenes of a dataset a configuration asks for."""

from __future__ import annotations

from collections import Counter

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError, unknown
from bench3r.data.frame_lists import FrameList, scene_names


def pick_scenes(dataset: Dataset, wanted: int | str | list[str]) -> list[str]:
    """The configured scenes.

    Raises Bench3RError when there are none, fewer than asked for, a named one is missing, or the
    dataset lists one twice.
    """
    scenes = dataset.scenes()
    if not scenes:
        raise Bench3RError(f"{dataset.name}: no scene found under {dataset.root}. {dataset.obtain}")
    for name, times in Counter(scenes).items():
        if times > 1:
            raise Bench3RError(f"{dataset.name} under {dataset.root}: scene {name} stands twice")
    if isinstance(wanted, int):
        return _first(dataset, scenes, wanted)
    if isinstance(wanted, str):  # "all"
        return scenes
    for name in wanted:
        if name not in scenes:
            raise unknown("scene", name, scenes, f"{dataset.name} under {dataset.root}")
    return list(wanted)


def _first(dataset: Dataset, scenes: list[str], count: int) -> list[str]:
    """The first ``count`` of ``scenes``. Raises Bench3RError when there are fewer."""
    if count > len(scenes):
        raise Bench3RError(
            f"{dataset.name}: `scenes` asks for {count} and {dataset.root} holds {len(scenes)}; "
            "set `scenes: all` for as many as there are"
        )
    return scenes[:count]


def pick_listed(
    dataset: Dataset, wanted: int | str | list[str], listed: FrameList
) -> dict[str, str]:
    """The configured scenes of a published list: its names of them, and the dataset's.

    Raises Bench3RError as :func:`pick_scenes`, and when the list is to be used whole and a scene of
    it is missing, or a named scene is not in it.
    """
    there = scene_names(listed, pick_scenes(dataset, "all"))
    if isinstance(wanted, int):
        chosen = _first(dataset, list(there), wanted)
        return {name: there[name] for name in chosen}
    if isinstance(wanted, str):  # "all"
        missing = [name for name in listed.lists if name not in there]
        if missing:
            raise Bench3RError(
                f"{dataset.name}: {len(missing)} of the {len(listed.lists)} scenes of frame list "
                f"{listed.name} are not under {dataset.root}, the first is {missing[0]}; set "
                f"`scenes: {len(there)}` to use those that are there"
            )
        return there
    names = {own: name for name, own in there.items()}
    for own in pick_scenes(dataset, wanted):
        if own not in names:
            raise Bench3RError(f"{dataset.name}: scene {own} is not in frame list {listed.name}")
    return {names[own]: own for own in wanted}
