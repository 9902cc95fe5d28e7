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
    """Scenes and, for lists that say so, their frames in order.

    The first frame is the reference of relative poses.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    dataset: str
    origin: str
    # number: frames are numbers in file names; place: places in the dataset's own order;
    # run: the run's frame counts, evenly spread; stride: the run's frame counts by select_frames
    frames_by: Literal["number", "place", "run", "stride"]
    sha256: str
    lists: dict[str, list[int] | None]

    @property
    def fixes_frames(self) -> bool:
        """Whether the list, and not the run, says how many frames a scene has."""
        return self.frames_by in ("number", "place")


@cache
def load_list(name: str) -> FrameList:
    """The list called ``name``.

    Raises Bench3RError for an unknown one and for a file that does not match its hash.
    """
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
    """Listed names and the dataset's names of the scenes that are ``there``.

    The dataset's may have their category in front. Raises Bench3RError when no scene is there.
    """
    known = {name: name for name in there}
    for name in reversed(there):  # of several with one name, the first counts
        known[name.rpartition("/")[2]] = name
    found = {name: known[name] for name in wanted.lists if name in known}
    if not found:
        raise Bench3RError(
            f"frame list {wanted.name}: none of its {len(wanted.lists)} scenes is there, "
            f"for example {next(iter(wanted.lists))!r}"
        )
    return found


def select_frames(posed: np.ndarray, count: int) -> np.ndarray:
    """The first of the ``posed`` frames [N] and every n-th of the rest: [count] at most.

    The last frames may be out of reach of the stride.
    """
    if len(posed) <= count or count < 2:
        return posed[:count]
    step = max(1, (len(posed) - 1) // (count - 1))
    return np.concatenate([posed[:1], posed[1:][::step][: count - 1]])


def chosen_frames(wanted: FrameList, listed: str, frames: list[str], count: int) -> list[str]:
    """The frames of the scene ``listed`` among its ``frames``.

    ``count`` of them where the list fixes none. Raises Bench3RError naming one that is not there.
    """
    picked = wanted.lists[listed]
    if picked is None:
        return [frames[i] for i in select_frames(np.arange(len(frames)), count)]
    chosen = []
    if wanted.frames_by == "place":
        for place in picked:
            if not 0 <= place < len(frames):
                raise Bench3RError(
                    f"frame list {wanted.name}: {listed} has {len(frames)} frames, "
                    f"place {place} is asked"
                )
            chosen.append(frames[place])
        return chosen
    numbers = by_number(frames)
    for number in picked:
        if number not in numbers:
            raise Bench3RError(
                f"frame list {wanted.name}: {listed} has no frame {number} with a valid pose"
            )
        chosen.append(numbers[number])
    return chosen


def by_number(frames: list[str]) -> dict[int, str]:
    """``frames`` by the last number in their name, which the others lack."""
    found = {}
    for frame in frames:
        digits = re.findall(r"\d+", frame)
        if digits:
            found[int(digits[-1])] = frame
    return found
