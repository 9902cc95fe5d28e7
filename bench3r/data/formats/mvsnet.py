"""Files of MVSNet's family of datasets: camera files, pair files, PFM depth maps."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench3r.api.errors import Bench3RError
from bench3r.data.formats.files import read_bytes

PLANES = 192  # depth hypotheses that MVSNet spreads over the depth range of a camera file
PFM_HEADER = re.compile(rb"Pf\s+(\d+)\s+(\d+)\s+(-?\d*\.?\d+(?:[eE][-+]?\d+)?)\s")


def read_cam(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """MVSNet camera file -> world-to-camera [4, 4] and intrinsics [3, 3].

    Raises Bench3RError naming the file.
    """
    try:
        tokens = path.read_text().split()
        if tokens[0] != "extrinsic" or tokens[17] != "intrinsic":
            raise ValueError("the words 'extrinsic' and 'intrinsic' are not where they belong")
        numbers = list(map(float, (*tokens[1:17], *tokens[18:27])))
        if len(numbers) != 25:
            raise ValueError(f"{len(numbers)} numbers, expected 16 + 9")
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: camera file is missing") from error
    except (ValueError, IndexError, OSError, UnicodeDecodeError) as error:
        raise Bench3RError(f"{path}: not an MVSNet camera file ({error})") from error
    return np.array(numbers[:16]).reshape(4, 4), np.array(numbers[16:]).reshape(3, 3)


def check_centre(k: np.ndarray, image: np.ndarray, path: Path) -> None:
    """Raise Bench3RError when ``k`` [3, 3] of ``path`` is not for the size of ``image`` [H, W, 3].

    The datasets' releases have images of several sizes; the centre shows whose cameras these are.
    """
    width = image.shape[1]
    if abs(k[0, 2] / width - 0.5) > 0.1:
        raise Bench3RError(
            f"{path}: the intrinsics are for another image size "
            f"(cx {k[0, 2]:.1f}, image width {width})"
        )


def write_cam(path: Path, w2c: np.ndarray, k: np.ndarray, depth: np.ndarray, tail: int = 2) -> None:
    """Write a camera file: world-to-camera [4, 4], intrinsics [3, 3], range of ``depth`` [H, W].

    ``tail``: 2 or 4 of the numbers (min, interval, count, max) that give the range.
    """
    hit = depth[depth > 0]
    low = float(hit.min()) if hit.size else 0.0
    high = float(hit.max()) if hit.size else 0.0
    numbers = [f"{low:.6f}", f"{(high - low) / PLANES:.8f}", f"{PLANES:.1f}", f"{high:.6f}"]
    rows = ["extrinsic", *_rows(w2c), "", "intrinsic", *_rows(k), "", " ".join(numbers[:tail])]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


def _rows(matrix: np.ndarray) -> list[str]:
    lines = []
    for row in matrix:
        lines.append(" ".join(f"{v:.9f}" for v in row))
    return lines


def write_pairs(path: Path, frames: int) -> None:
    """Write a pair file: for every one of ``frames`` views the others, nearest first."""
    lines = [str(frames)]
    for i in range(frames):
        nearest = sorted((abs(i - j), j) for j in range(frames))[1:]  # without the view itself
        scores = [f"{j} {1 / distance:.3f}" for distance, j in nearest]
        lines.append(str(i))
        lines.append(" ".join([str(len(scores)), *scores]))
    path.write_text("\n".join(lines) + "\n")


def read_pfm(path: Path) -> np.ndarray:
    """Single-channel PFM -> float32 [H, W], top row first. Raises Bench3RError naming the file."""
    data = read_bytes(path, "depth map")
    header = PFM_HEADER.match(data)
    if header is None:
        raise Bench3RError(
            f"{path}: not a single-channel PFM file (expected 'Pf', width, height and scale)"
        )
    width = int(header[1])
    height = int(header[2])
    little_endian = float(header[3]) < 0
    body = data[header.end() :]
    expected = 4 * width * height
    if len(body) != expected:
        raise Bench3RError(
            f"{path}: {len(body)} bytes of pixels, expected {expected} for {width} x {height}"
        )
    values = np.frombuffer(body, "<f4" if little_endian else ">f4").reshape(height, width)
    return values[::-1].astype(np.float32)


def write_pfm(path: Path, values: np.ndarray) -> None:
    """Write float32 [H, W] as little-endian PFM, bottom row first as the format asks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    path.write_bytes(b"Pf\n%d %d\n-1.0\n" % (width, height) + values[::-1].astype("<f4").tobytes())
