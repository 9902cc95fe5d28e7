"""Text files of RGB-D sequences: time-stamped lists and poses, matched by time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from bench3r.api.errors import Bench3RError


def _rows(path: Path) -> list[list[str]]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: file is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Bench3RError(f"{path}: unreadable ({error})") from error
    return [
        line.replace(",", " ").split()
        for line in lines
        if line.strip() and not line.startswith("#")
    ]


def read_list(path: Path) -> list[tuple[float, str]]:
    """Rows "time file" in temporal order. Raises Bench3RError naming the file and the row."""
    out = []
    for number, row in enumerate(_rows(path), 1):
        try:
            out.append((float(row[0]), row[1]))
        except (ValueError, IndexError) as error:
            raise Bench3RError(f"{path}: row {number}: expected a time and a file name") from error
    return sorted(out)


def read_poses(path: Path) -> list[tuple[float, tuple[float, ...]]]:
    """Rows "time tx ty tz qx qy qz qw" in temporal order. Raises Bench3RError naming the file and the row."""
    out = []
    for number, row in enumerate(_rows(path), 1):
        try:
            time, *pose = map(float, row)
        except ValueError as error:
            raise Bench3RError(f"{path}: row {number}: expected numbers") from error
        if len(pose) != 7:
            raise Bench3RError(
                f"{path}: row {number}: expected a time and 7 numbers, found {len(row)}"
            )
        out.append((time, tuple(pose)))
    return sorted(out)


def associate(times: list[float], others: list[float], within: float) -> dict[int, int]:
    """For each of ``times`` the index of the nearest of ``others``, where it is at most ``within`` seconds away."""
    if not times or not others:
        return {}
    distance, index = cKDTree(np.array(others)[:, None]).query(np.array(times)[:, None])
    return {i: int(j) for i, (d, j) in enumerate(zip(distance, index, strict=True)) if d <= within}
