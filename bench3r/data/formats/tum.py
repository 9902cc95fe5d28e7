"""Text files of RGB-D sequences: time-stamped lists and poses, matched by time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from bench3r.api.errors import Bench3RError


class TimedFile(NamedTuple):
    """A file and when it was taken."""

    time: float  # seconds
    name: str


class TimedPose(NamedTuple):
    """A pose and when it was measured."""

    time: float  # seconds
    values: tuple[float, ...]  # tx ty tz qx qy qz qw, camera to world


Timed = TimedFile | TimedPose


def _rows(path: Path) -> list[list[str]]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: file is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Bench3RError(f"{path}: unreadable ({error})") from error
    rows = []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            rows.append(line.replace(",", " ").split())
    return rows


def read_list(path: Path) -> list[TimedFile]:
    """Rows "time file" in temporal order. Raises Bench3RError naming the file and the row."""
    out = []
    for number, row in enumerate(_rows(path), 1):
        try:
            out.append(TimedFile(float(row[0]), row[1]))
        except (ValueError, IndexError) as error:
            raise Bench3RError(f"{path}: row {number}: expected a time and a file name") from error
    return sorted(out)


def read_poses(path: Path) -> list[TimedPose]:
    """Rows "time tx ty tz qx qy qz qw" in temporal order.

    Raises Bench3RError naming the file and the row.
    """
    out = []
    for number, row in enumerate(_rows(path), 1):
        try:
            time, *values = map(float, row)
        except ValueError as error:
            raise Bench3RError(f"{path}: row {number}: expected numbers") from error
        if len(values) != 7:
            raise Bench3RError(
                f"{path}: row {number}: expected a time and 7 numbers, found {len(row)}"
            )
        out.append(TimedPose(time, tuple(values)))
    return sorted(out)


def associate(rows: Sequence[Timed], others: Sequence[Timed], within: float) -> dict[int, int]:
    """For each of ``rows`` the place of the one of ``others`` that is nearest in time.

    Rows without one within ``within`` seconds are left out.
    """
    if not rows or not others:
        return {}
    there = np.array([other.time for other in others])
    times = np.array([row.time for row in rows])
    distance, index = cKDTree(there[:, None]).query(times[:, None])
    near = np.nonzero(distance <= within)[0]
    return dict(zip(near.tolist(), index[near].tolist(), strict=True))
