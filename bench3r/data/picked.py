"""Which scenes of a dataset a configuration asks for."""

from __future__ import annotations

from bench3r.api.dataset import Dataset
from bench3r.api.errors import Bench3RError, unknown


def pick_scenes(dataset: Dataset, wanted: int | str | list[str]) -> list[str]:
    """The configured scenes. Raises Bench3RError when there are none, or a named one is missing."""
    scenes = dataset.scenes()
    if not scenes:
        raise Bench3RError(f"{dataset.name}: no scene found under {dataset.root}. {dataset.obtain}")
    if isinstance(wanted, int):
        return scenes[:wanted]
    if isinstance(wanted, str):  # "all"
        return scenes
    for name in wanted:
        if name not in scenes:
            raise unknown("scene", name, scenes, f"{dataset.name} under {dataset.root}")
    return list(wanted)
