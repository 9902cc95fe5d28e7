"""Published scene and frame lists: JSON files in frame_lists/ with their origin and hash."""

from __future__ import annotations

import json
import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from bench3r.api.errors import Bench3RError, describe, unknown
from bench3r.files import read_json

FOLDER = Path(__file__).resolve().parent
NAMES = tuple(sorted(p.stem for p in FOLDER.glob("*.json")))


class FrameList(BaseModel):
    """Scenes and, for lists that say so, their frames in order (the first is the reference of relative poses)."""

    model_config = ConfigDict(extra="forbid")

    name: str
    dataset: str
    origin: str
    # number: frames are numbers in file names; place: places in the dataset's own order; run: the run's frame counts,
    # evenly spread; fastvggt: the run's frame counts by FastVGGT's rule, which does not reach the end
    frames_by: Literal["number", "place", "run", "fastvggt"]
    sha256: str
    lists: dict[str, list[int] | None]

    @property
    def fixes_frames(self) -> bool:
        """Whether the list, and not the run, says how many frames a scene has."""
        return self.frames_by in ("number", "place")


@cache
def load_list(name: str) -> FrameList:
    """The list called ``name``. Raises Bench3RError for an unknown one and for a file that does not match its hash."""
    if name not in NAMES:
        raise unknown("frame list", name, NAMES)
    path = FOLDER / f"{name}.json"
    try:
        found = FrameList.model_validate(read_json(path))
    except ValidationError as error:
        raise describe(error, str(path)) from error
    body = json.dumps(found.lists, sort_keys=True, separators=(",", ":"))
    if sha256(body.encode()).hexdigest() != found.sha256:
        raise Bench3RError(f"{path}: the lists do not match their sha256; restore the file")
    return found


def scene_names(wanted: FrameList, there: list[str]) -> dict[str, str]:
    """Listed names and the dataset's names of the scenes that are there, which may have their category in front.

    Raises Bench3RError when none is.
    """
    known = {name: name for name in there} | {
        name.rpartition("/")[2]: name for name in reversed(there)
    }
    found = {name: known[name] for name in wanted.lists if name in known}
    if not found:
        raise Bench3RError(
            f"frame list {wanted.name}: none of its {len(wanted.lists)} scenes is there, for example "
            f"{next(iter(wanted.lists))!r}"
        )
    return found


def select_frames(posed: np.ndarray, count: int) -> np.ndarray:
    """FastVGGT's rule: the first of the ``posed`` frames and evenly spaced ones of the rest, ``count`` at most."""
    if len(posed) <= count or count < 2:
        return posed[:count]
    step = max(1, (len(posed) - 1) // (count - 1))
    return np.concatenate([posed[:1], posed[1:][::step][: count - 1]])


def chosen_frames(wanted: FrameList, listed: str, frames: list[str], count: int) -> list[str]:
    """The frames of the scene ``listed`` among its ``frames``. Raises Bench3RError naming one that is not there."""
    picked = wanted.lists[listed]
    if picked is None:
        return [frames[i] for i in select_frames(np.arange(len(frames)), count)]
    if wanted.frames_by == "place":
        missing = [i for i in picked if not 0 <= i < len(frames)]
        if missing:
            raise Bench3RError(
                f"frame list {wanted.name}: {listed} has {len(frames)} frames, place {missing[0]} is asked"
            )
        return [frames[i] for i in picked]
    numbers = {int(m[-1]): f for f in frames if (m := re.findall(r"\d+", f))}
    for number in picked:
        if number not in numbers:
            raise Bench3RError(
                f"frame list {wanted.name}: {listed} has no frame {number} with a valid pose"
            )
    return [numbers[number] for number in picked]
