"""Files of a dataset: paths that stay below its root, bytes, and text files of numbers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from bench3r.api.errors import Bench3RError


def inside(root: Path, relative: str) -> Path:
    """``root / relative`` for a name that a file of the dataset gives.

    Raises Bench3RError when it would lead out of ``root``, as absolute paths and ``..`` can. Links that whoever set the data
    up has laid are followed.
    """
    clean = os.path.normpath(relative)
    if (
        not relative
        or os.path.isabs(relative)
        or clean.split(os.sep)[0] == ".."
        or "\0" in relative
    ):
        raise Bench3RError(
            f"{root}: the dataset names {relative!r}, which lies outside; expected a path below this folder"
        )
    return root / clean


def read_bytes(path: Path, what: str) -> bytes:
    """The file's bytes. Raises Bench3RError naming it and ``what`` it should be."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: {what} is missing") from error
    except OSError as error:
        raise Bench3RError(f"{path}: unreadable {what} ({error})") from error


def read_numbers(path: Path) -> np.ndarray:
    """All numbers of a text file, nan and inf among them. Raises Bench3RError for anything else, and for none."""
    try:
        values = np.array([float(t) for t in path.read_text().replace(",", " ").split()])
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: file is missing") from error
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise Bench3RError(f"{path}: expected numbers, {error}") from error
    if not values.size:
        raise Bench3RError(f"{path}: the file is empty")
    return values


def read_matrix(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Text matrix of ``shape`` (more rows or columns are cut to a 4x4's upper part). May hold -inf (lost poses)."""
    values = read_numbers(path)
    for rows, columns in (shape, (4, 4)):
        if values.size == rows * columns:
            return values.reshape(rows, columns)[: shape[0], : shape[1]]
    raise Bench3RError(f"{path}: expected {shape[0]}x{shape[1]} numbers, found {values.size}")
