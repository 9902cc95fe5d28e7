"""Files of a dataset: folders and names below its root, bytes, and text files of numbers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from bench3r.api.errors import Bench3RError


def folders_with(root: Path, *parts: str) -> list[str]:
    """Names, sorted, of the folders in ``root`` that hold all of ``parts`` (files or folders)."""
    names = []
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and all((folder / part).exists() for part in parts):
            names.append(folder.name)
    return names


def numbered_stems(folder: Path, pattern: str) -> list[str]:
    """Stems of the files in ``folder`` that match ``pattern`` and are numbers, in their order."""
    stems = [p.stem for p in folder.glob(pattern)]
    return sorted(filter(str.isdecimal, stems), key=int)


def inside(root: Path, relative: str) -> Path:
    """``root / relative`` for a name that a file of the dataset gives.

    Raises Bench3RError when it would lead out of ``root``, as absolute paths and ``..`` can. Links
    that whoever set the data up has laid are followed.
    """
    clean = os.path.normpath(relative)
    climbs = os.path.isabs(relative) or clean.split(os.sep)[0] == ".."
    if climbs or not relative or "\0" in relative:
        raise Bench3RError(
            f"{root}: the dataset names {relative!r}, which lies outside; expected a path below "
            "this folder"
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
    """All numbers [N] of a text file, nan and inf among them.

    Raises Bench3RError for anything else, and for none.
    """
    try:
        tokens = path.read_text().replace(",", " ").split()
        values = np.array(list(map(float, tokens)))
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: file is missing") from error
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise Bench3RError(f"{path}: expected numbers, {error}") from error
    if not values.size:
        raise Bench3RError(f"{path}: the file is empty")
    return values


def read_matrix(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Matrix [N, M] of ``shape``, or that part of a 4x4; it may hold -inf (lost poses).

    Raises Bench3RError for another count of numbers.
    """
    values = read_numbers(path)
    for rows, columns in (shape, (4, 4)):
        if values.size == rows * columns:
            return values.reshape(rows, columns)[: shape[0], : shape[1]]
    raise Bench3RError(f"{path}: expected {shape[0]}x{shape[1]} numbers, found {values.size}")
